//! What is refused, with the reason, and what is not.

use super::*;

/// Why an adapter is refused.
fn refusal(made: &Made) -> String {
    let folder = made.written();
    let error = decoder(&fixture("qwen3")).adapter(folder.path()).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with(&folder.path().display().to_string()), "{text}");
    text
}

#[test]
fn settings_that_are_not_computed_are_refused_by_name() {
    for (name, value, said) in [
        ("peft_type", json!("IA3"), "peft_type = IA3"),
        ("use_dora", json!(true), "use_dora = true"),
        ("bias", json!("all"), "bias = all"),
        ("lora_bias", json!(true), "lora_bias = true"),
        ("fan_in_fan_out", json!(true), "fan_in_fan_out = true"),
        (
            "modules_to_save",
            json!(["lm_head"]),
            "modules_to_save = [\"lm_head\"]",
        ),
        ("layer_replication", json!([[0, 1]]), "layer_replication"),
        ("trainable_token_indices", json!([1]), "trainable_token_indices"),
        (
            "rank_pattern",
            json!({"layers.[01].q": 4}),
            "layers.[01].q is not supported",
        ),
        ("rank_pattern", json!({"q_proj": 0}), "rank_pattern = 0"),
        ("r", json!(0), "r = 0"),
        ("use_qalora", json!(true), "use_qalora = true"),
        ("use_bdlora", json!({"nblocks": 2}), "use_bdlora = {"),
        (
            "alora_invocation_tokens",
            json!([1, 2]),
            "alora_invocation_tokens = [1,2]",
        ),
        ("arrow_config", json!({"top_k": 1}), "arrow_config = {"),
        ("kasa_config", json!({"beta": 1}), "kasa_config = {"),
        ("monteclora_config", json!({"n": 1}), "monteclora_config = {"),
        (
            "target_parameters",
            json!(["experts.up"]),
            "target_parameters = [\"experts.up\"]",
        ),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "init_lora_weights = pissa_niter_4",
        ),
        ("init_lora_weights", json!("olora"), "init_lora_weights = olora"),
        ("r", json!(100_000), "r = 100000"),
        ("r", json!("four"), "line 1"),
        ("init_lora_weights", json!("pissa"), "init_lora_weights = pissa"),
        ("init_lora_weights", json!("corda"), "init_lora_weights = corda"),
        ("init_lora_weights", json!("loftq"), "init_lora_weights = loftq"),
        ("use_what_comes_next", json!(1), "use_what_comes_next = 1"),
        (
            "target_modules",
            json!(["q_proj", "lm_head"]),
            "target_modules = lm_head",
        ),
        ("layers_to_transform", json!([0, 2]), "layers_to_transform = 2"),
        ("layers_pattern", json!("blocks"), "layers_pattern = blocks"),
        (
            "alpha_pattern",
            json!({"q_proj": 1e300}),
            "model.layers.0.self_attn.q_proj adds too large",
        ),
    ] {
        let text = refusal(&Made::all("qwen3", 1).set(name, value));
        assert!(
            text.contains("adapter_config.json") && text.contains(said),
            "{text}"
        );
    }
}

/// All that PEFT 0.21 writes for a usual adapter, and what newer versions write without meaning by it.
#[test]
fn settings_without_effect_are_taken() {
    let made = [
        ("init_lora_weights", json!("gaussian")),
        ("lora_dropout", json!(0.1)),
        ("megatron_core", json!("megatron.core")),
        ("qalora_group_size", json!(16)),
        ("runtime_config", json!({"ephemeral_gpu_offload": true})),
        ("auto_mapping", json!({"parent_library": "transformers"})),
        ("peft_version", json!("0.21.2")),
        ("inference_mode", json!(true)),
        ("revision", json!("main")),
        ("arrow_config", json!(null)),
        ("alora_invocation_tokens", json!(null)),
        ("loftq_config", json!({})),
        ("use_what_comes_next", json!(false)),
        ("what_comes_next", json!({})),
    ];
    let made = made
        .into_iter()
        .fold(Made::all("qwen3", 1), |made, (name, value)| made.set(name, value));
    decoder(&fixture("qwen3")).adapter(made.written().path()).unwrap();
}

/// A base whose file says what it is called.
fn named_base(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let read = fs::read(fixture("qwen3").join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&read).unwrap();
    config["_name_or_path"] = json!(name);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = fixture("qwen3").join("model.safetensors");
    fs::copy(weights, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn an_adapter_of_another_model_of_the_same_shape_is_refused_by_both_names() {
    let base = named_base("mistralai/Mistral-7B-v0.1");
    let model = decoder(base.path());
    let load = |name: &str| {
        let made = Made::all("qwen3", 1).set("base_model_name_or_path", json!(name));
        model.adapter(made.written().path()).err()
    };
    let text = load("meta-llama/Meta-Llama-3-8B").unwrap().to_string();
    assert!(
        text.contains("meta-llama/Meta-Llama-3-8B") && text.contains("mistralai/Mistral-7B-v0.1"),
        "{text}"
    );
    assert!(load("unsloth/mistral-7b-v0.1-bnb-4bit").is_none());
    assert!(load("/data/checkpoints/tuned").is_none());
}

/// Most published models state no name; their folders may say which they are.
#[test]
fn an_adapter_of_another_model_than_the_folder_says_is_refused_by_both_names() {
    let load = |folder: &str, adapted: &str| {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join(folder);
        fs::create_dir(&base).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(fixture("qwen3").join(file), base.join(file)).unwrap();
        }
        let made = Made::all("qwen3", 1).set("base_model_name_or_path", json!(adapted));
        decoder(&base)
            .adapter(made.written().path())
            .err()
            .map(|refused| refused.to_string())
    };
    let text = load("Meta-Llama-3-8B", "mistralai/Mistral-7B-v0.1").unwrap();
    assert!(
        text.contains("mistralai/Mistral-7B-v0.1") && text.contains("Meta-Llama-3-8B"),
        "{text}"
    );
    for folder in [
        "qwen2.5-7b",
        "my-model",
        "a09a35458c702b33eeacc393d103063234e8bc28",
    ] {
        assert_eq!(load(folder, "Qwen/Qwen2.5-7B-Instruct"), None, "{folder}");
    }
}

/// A file that is not loaded is compared by the name that it was given, too.
#[test]
fn an_adapter_of_another_model_is_refused_before_a_gguf_s_weights_are_read() {
    let place = tempfile::tempdir().unwrap();
    let check = |file: &str, adapted: &str| {
        let path = place.path().join(file);
        fs::copy(fixture("gguf/qwen3/model-q8_0.gguf"), &path).unwrap();
        let model = GgufModel::open(&path).unwrap();
        let made = Made::all("gguf/qwen3", 1).set("base_model_name_or_path", json!(adapted));
        let checked = AdaptedEngine::check_gguf(made.written().path(), &model, &CandleOptions::default());
        checked.err().map(|refused| refused.to_string())
    };
    let text = check("Qwen3-8B-Q8_0.gguf", "Qwen/Qwen3-14B").unwrap();
    assert!(
        text.contains("Qwen/Qwen3-14B") && text.contains("Qwen3-8B-Q8_0"),
        "{text}"
    );
    assert_eq!(check("Qwen3-8B-Q8_0.gguf", "Qwen/Qwen3-8B"), None);
    assert_eq!(check("model.gguf", "Qwen/Qwen3-8B"), None);
}

/// Modules that the settings name and the file lacks.
#[test]
fn half_an_adapter_is_refused_by_what_is_missing() {
    let refused = |targets: Value, keep: &dyn Fn(&str) -> bool| {
        let mut made = Made::all("qwen3", 1).set("target_modules", targets);
        made.tensors.retain(|name, _| keep(name));
        refusal(&made)
    };
    let all = json!(MODULES);
    let short = json!(MODULES.map(|module| module.rsplit('.').next().unwrap()));
    let expression = json!(".*_proj");
    for targets in [&all, &short, &expression, &json!("all-linear"), &json!(null)] {
        let text = refused(targets.clone(), &|name| !name.contains("layers.1."));
        assert!(
            text.contains("layers.1.self_attn.q_proj.lora_A") && text.contains("2 layers"),
            "{text}"
        );
        let text = refused(targets.clone(), &|name| !name.contains("layers.0.mlp.up_proj"));
        assert!(text.contains("layers.0.mlp.up_proj.lora_A"), "{text}");
    }
    for targets in [all, short] {
        let text = refused(targets, &|name| !name.contains("v_proj"));
        assert!(text.contains("layers.0.self_attn.v_proj.lora_A"), "{text}");
    }
    // What is not named is not missed.
    let model = decoder(&fixture("qwen3"));
    let taken = |targets: Value, excluded: Value| {
        let mut made = Made::all("qwen3", 1)
            .set("target_modules", targets)
            .set("exclude_modules", excluded);
        made.tensors.retain(|name, _| !name.contains("v_proj"));
        model.adapter(made.written().path()).unwrap();
    };
    taken(json!(MODULES), json!(["v_proj"]));
    taken(json!(MODULES), json!(".*v_proj"));
    taken(json!(".*(q|k|o|gate|up|down)_proj"), json!(null));
    // An expression may name other modules in each layer.
    let expression = r"model\.layers\.(0\.mlp\..*|1\.self_attn\.[qk]_proj)";
    let mut made = Made::all("qwen3", 1).set("target_modules", json!(expression));
    made.tensors.retain(|name, _| {
        let attends = name.contains("q_proj") || name.contains("k_proj");
        name.contains("layers.0.mlp") || attends && name.contains("layers.1.")
    });
    model.adapter(made.written().path()).unwrap();
    made.tensors.remove(&key(1, "self_attn.k_proj", "A"));
    made.tensors.remove(&key(1, "self_attn.k_proj", "B"));
    assert!(refusal(&made).contains("layers.1.self_attn.k_proj.lora_A"));
    taken(json!(["q_proj", "k_proj"]), json!(null));
}

#[test]
fn matrices_that_do_not_fit_are_refused_by_name() {
    let changed = |change: &dyn Fn(&mut Made)| {
        let mut made = Made::all("qwen3", 1);
        change(&mut made);
        let text = refusal(&made);
        assert!(text.contains("adapter_model.safetensors"), "{text}");
        text
    };
    let query = key(0, "self_attn.q_proj", "A");
    let text = changed(&|made| drop(made.tensors.insert(query.clone(), values(5, 48, 1, 0.1))));
    assert!(
        text.contains(&query) && text.contains("[5, 48]") && text.contains("[4, 48]"),
        "{text}"
    );
    let text = changed(&|made| *made = Made::all("llama", 1));
    assert!(text.contains("another model"), "{text}");
    let down = key(1, "mlp.down_proj", "B");
    let text = changed(&|made| drop(made.tensors.remove(&down)));
    assert!(text.contains(&down) && text.contains("missing"), "{text}");
    let text = changed(&|made| made.tensors.clear());
    assert!(text.contains("missing"), "{text}");
    let text = changed(&|made| {
        let numbers = made.tensors[&query].to_dtype(DType::F64).unwrap();
        made.tensors.insert(query.clone(), numbers);
    });
    assert!(text.contains(&query) && text.contains("F64"), "{text}");
    let text = changed(&|made| {
        let infinite = (values(4, 48, 1, 0.1) / 0.0).unwrap();
        made.tensors.insert(query.clone(), infinite);
    });
    assert!(text.contains(&query) && text.contains("not numbers"), "{text}");
    for unknown in [
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.0.mlp.experts.0.up_proj.lora_A.weight",
        "base_model.model.model.layers.2.mlp.up_proj.lora_A.weight",
        "base_model.model.model.layers.01.mlp.up_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.lm_head.lora_A.weight",
    ] {
        let text = changed(&|made| drop(made.tensors.insert(unknown.to_owned(), values(4, 48, 1, 0.1))));
        assert!(text.contains(unknown), "{text}");
    }
    let text = changed(&|made| {
        let name = key(2, "mlp.up_proj", "A");
        made.tensors.insert(name, values(4, 48, 1, 0.1));
    });
    assert!(
        text.contains("it has 2; is the adapter for another model?"),
        "{text}"
    );
    let made = Made::all("qwen3", 1).set("layers_to_transform", json!(1));
    assert!(refusal(&made).contains("layers.0."));
}

#[test]
fn files_that_are_not_there_or_damaged_are_refused() {
    let model = decoder(&fixture("qwen3"));
    let folder = Made::all("qwen3", 1).written();
    let weights = folder.path().join("adapter_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 3]).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Adapter { path, .. }) if path == weights));
    fs::remove_file(&weights).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Missing { path }) if path == weights));
    let pickled = folder.path().join("adapter_model.bin");
    fs::write(&pickled, bytes).unwrap();
    let refused = model.adapter(folder.path()).err().unwrap().to_string();
    assert!(refused.starts_with(&pickled.display().to_string()), "{refused}");
    assert!(refused.contains("safe_serialization"), "{refused}");
    let settings = folder.path().join("adapter_config.json");
    fs::write(&settings, " ".repeat(5 << 20)).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Read { path, .. }) if path == settings));
    fs::remove_file(&settings).unwrap();
    assert!(matches!(model.adapter(folder.path()), Err(LoadError::Missing { path }) if path == settings));
}
