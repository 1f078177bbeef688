//! Blocks against those that the Python package `gguf` makes (`tools/gguf/make_blocks.py`).

use super::*;

/// The formats that values can be rounded to.
pub(super) const ROUNDED: [TensorFormat; 6] = [
    TensorFormat::F32,
    TensorFormat::F16,
    TensorFormat::Bf16,
    TensorFormat::Q4_0,
    TensorFormat::Q5_0,
    TensorFormat::Q8_0,
];
const COLUMNS: usize = 256;

fn fixture() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/gguf/blocks.safetensors"
    );
    std::fs::read(path).unwrap()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let data = tensors.tensor(name).unwrap().data();
    let values = data.as_chunks::<4>().0;
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

#[test]
fn every_format_widens_as_ggml_defines_it_in_every_row_of_a_group() {
    let file = fixture();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    for format in TensorFormat::ALL {
        if format == TensorFormat::F32 {
            continue;
        }
        let bytes = tensors.tensor(&format!("{}.rounded", format.name())).unwrap();
        let expected = floats(&tensors, &format!("{}.widened", format.name()));
        let rows = LANES + 3;
        let mut builder = PackedBuilder::new(format, rows, COLUMNS).unwrap();
        for _ in 0..rows {
            builder.push_rows(bytes.data()).unwrap();
        }
        let matrix = builder.finish().unwrap();
        for (index, row) in widened(&matrix).chunks(COLUMNS).enumerate() {
            assert_eq!(row, expected, "row {index} of {}", format.name());
        }
    }
}

#[test]
fn values_are_rounded_as_ggml_rounds_them() {
    let file = fixture();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let values = floats(&tensors, "values");
    for format in ROUNDED {
        if format == TensorFormat::F32 {
            continue;
        }
        let expected = tensors.tensor(&format!("{}.rounded", format.name())).unwrap();
        let mut bytes = Vec::new();
        super::super::blocks::quantise(format, &values, &mut bytes).unwrap();
        assert_eq!(bytes, expected.data(), "{}", format.name());
    }
}

#[test]
fn floats_are_kept_bit_for_bit() {
    let values = values(20 * 7, 5);
    let matrix = PackedMatrix::quantize(TensorFormat::F32, 20, 7, &values).unwrap();
    assert_eq!(widened(&matrix), values);
}

#[test]
fn values_that_make_no_matrix_of_the_shape_are_refused() {
    let refused = |format, rows, columns, bytes: usize| {
        PackedMatrix::from_bytes(format, rows, columns, &vec![0; bytes]).err()
    };
    let columns = |format, columns| Some(ShapeError::Columns { format, columns });
    assert_eq!(
        refused(TensorFormat::Q8_0, 1, 33, 34),
        columns(TensorFormat::Q8_0, 33)
    );
    assert_eq!(
        refused(TensorFormat::Q4K, 1, 128, 72),
        columns(TensorFormat::Q4K, 128)
    );
    assert_eq!(refused(TensorFormat::F32, 1, 0, 0), columns(TensorFormat::F32, 0));
    let size = |expected, actual| Some(ShapeError::Size { expected, actual });
    assert_eq!(refused(TensorFormat::Q8_0, 2, 32, 35), size(68, 35));
    assert_eq!(refused(TensorFormat::Q8_0, 2, 32, 102), size(68, 102));
    let rows = Some(ShapeError::Rows {
        expected: 2,
        actual: 1,
    });
    assert_eq!(refused(TensorFormat::Q8_0, 2, 32, 34), rows);
    let format = TensorFormat::Q4K;
    let rounded = PackedMatrix::quantize(format, 1, 256, &[0.0; 256]).err();
    assert_eq!(rounded, Some(ShapeError::NoRounding { format }));
}

#[test]
fn values_that_no_block_can_hold_are_refused() {
    for format in ROUNDED {
        for value in [f32::from_bits(1), 1e-39, 1e4, f32::MAX, f32::INFINITY, f32::NAN] {
            let mut block = [0.0; 32];
            (block[3], block[20]) = (value, -value);
            let refused = PackedMatrix::quantize(format, 1, 32, &block).err();
            let held = !is_quantised(format) || value < 1e5;
            assert_eq!(
                refused,
                (!held).then_some(ShapeError::Values { format }),
                "{value}"
            );
        }
    }
}
