use std::path::PathBuf;

use super::*;
use crate::Dtype;

fn decoder(context_length: Option<u32>) -> Decoder {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen3");
    Decoder::load(&folder, Dtype::F32, context_length).unwrap()
}

fn forward(
    decoder: &Decoder,
    cache: &mut KvCache,
    tokens: &[u32],
    logits: LogitsOf,
) -> Result<Option<Tensor>> {
    decoder.forward(&mut [Span {
        tokens,
        cache: cache.view(),
        rope_length: 0,
        logits,
    }])
}

#[test]
fn the_context_option_can_only_shorten() {
    assert_eq!(decoder(None).context_length(), 256);
    assert_eq!(decoder(Some(100)).context_length(), 100);
    assert_eq!(decoder(Some(100_000)).context_length(), 256);
}

#[test]
fn only_wanted_logits_are_returned() {
    let decoder = decoder(None);
    let mut cache = decoder.new_cache().unwrap();
    assert!(
        forward(&decoder, &mut cache, &[1, 2, 3], LogitsOf::Nothing)
            .unwrap()
            .is_none()
    );
    let last = forward(&decoder, &mut cache, &[4, 5], LogitsOf::Last)
        .unwrap()
        .unwrap();
    assert_eq!((last.dims(), cache.len()), ([1, 144].as_slice(), 5));
    assert!(!cache.is_empty());
}

#[test]
fn unusable_input_is_an_error() {
    let decoder = decoder(Some(4));
    let mut cache = decoder.new_cache().unwrap();
    assert!(
        forward(&decoder, &mut cache, &[], LogitsOf::Last).is_err(),
        "no tokens"
    );
    assert!(
        forward(&decoder, &mut cache, &[144], LogitsOf::Last).is_err(),
        "outside the vocabulary"
    );
    assert!(
        forward(&decoder, &mut cache, &[0; 5], LogitsOf::Last).is_err(),
        "longer than the context"
    );
}
