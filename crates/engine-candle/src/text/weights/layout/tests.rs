use super::*;

fn rows(order: &RowOrder) -> Vec<usize> {
    match order {
        RowOrder::Plain => Vec::new(),
        RowOrder::Heads(rows) => rows.to_vec(),
    }
}

fn layout(kind: TensorLayout) -> FileLayout {
    FileLayout {
        kind,
        heads: 6,
        kv_heads: 2,
        head_dim: 4,
        intermediate_size: 10,
        ..FileLayout::plain()
    }
}

/// The rows of the whole tensor that a part of so many rows is, in order.
fn taken(part: Part, rows: usize) -> Vec<usize> {
    let starts = (part.first..).step_by(part.runs.distance);
    let all = starts.flat_map(|start| start..start + part.runs.length);
    all.take(rows).collect()
}

/// Rows of queries, of keys and of values.
fn rows_of(name: &str) -> usize {
    if name == "q_proj" { 24 } else { 8 }
}

#[test]
fn pairs_of_neighbours_become_pairs_of_halves() {
    let order = rotary_order(8, 8, RotaryPairs::Neighbours);
    assert_eq!(rows(&order), [0, 2, 4, 6, 1, 3, 5, 7]);
    assert_eq!(rotary_order(8, 8, RotaryPairs::Halves), RowOrder::Plain);
}

#[test]
fn dimensions_that_are_not_rotated_stand_at_the_end_of_either_half() {
    let neighbours = rotary_order(8, 4, RotaryPairs::Neighbours);
    assert_eq!(rows(&neighbours), [0, 2, 4, 5, 1, 3, 6, 7]);
    let halves = rotary_order(8, 4, RotaryPairs::Halves);
    assert_eq!(rows(&halves), [0, 1, 4, 5, 2, 3, 6, 7]);
}

#[test]
fn parts_of_packed_tensors_are_all_their_rows() {
    for (kind, names) in [
        (TensorLayout::InternLm2, ["q_proj", "k_proj", "v_proj"].as_slice()),
        (TensorLayout::ChatGlm, &["q_proj", "k_proj", "v_proj"]),
        (TensorLayout::TeleChat, &["k_proj", "v_proj"]),
    ] {
        let layout = layout(kind);
        let parts = names.iter().map(|name| {
            let place = layout.place(&format!("model.layers.3.self_attn.{name}.weight"));
            assert!(place.name.contains(".3."), "{}", place.name);
            taken(place.part.unwrap(), rows_of(name))
        });
        let mut all: Vec<usize> = parts.flatten().collect();
        all.sort_unstable();
        let count = if kind == TensorLayout::TeleChat { 16 } else { 40 };
        assert_eq!(all, (0..count).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[test]
fn groups_of_internlm2_hold_queries_then_keys_then_values() {
    let part = |name: &str| {
        let place = layout(TensorLayout::InternLm2).place(&format!("model.layers.0.self_attn.{name}.weight"));
        assert_eq!(place.name, "model.layers.0.attention.wqkv.weight");
        taken(place.part.unwrap(), rows_of(name))
    };
    assert_eq!(
        part("q_proj"),
        [(0..12), (20..32)].into_iter().flatten().collect::<Vec<_>>()
    );
    assert_eq!(part("k_proj"), [12, 13, 14, 15, 32, 33, 34, 35]);
    assert_eq!(part("v_proj"), [16, 17, 18, 19, 36, 37, 38, 39]);
}

#[test]
fn names_are_those_of_the_family() {
    for (kind, name, expected) in [
        (
            TensorLayout::Plain,
            "model.layers.1.mlp.up_proj.weight",
            "model.layers.1.mlp.up_proj.weight",
        ),
        (
            TensorLayout::Glm,
            "model.layers.1.mlp.up_proj.weight",
            "model.layers.1.mlp.gate_up_proj.weight",
        ),
        (
            TensorLayout::Gemma2,
            "model.layers.1.post_attention_layernorm.weight",
            "model.layers.1.pre_feedforward_layernorm.weight",
        ),
        (
            TensorLayout::ChatGlm,
            "model.layers.1.self_attn.q_proj.bias",
            "transformer.encoder.layers.1.self_attention.query_key_value.bias",
        ),
        (
            TensorLayout::ChatGlm,
            "lm_head.weight",
            "transformer.output_layer.weight",
        ),
        (
            TensorLayout::InternLm2,
            "model.layers.1.mlp.down_proj.weight",
            "model.layers.1.feed_forward.w2.weight",
        ),
        (
            TensorLayout::TeleChat,
            "model.layers.1.mlp.down_proj.bias",
            "transformer.h.1.mlp.down_proj.bias",
        ),
        (
            TensorLayout::TeleChat,
            "model.norm.weight",
            "transformer.ln_f.weight",
        ),
    ] {
        assert_eq!(layout(kind).place(name).name, expected);
    }
}
