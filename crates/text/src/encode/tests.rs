use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use safetensors::SafeTensors;
use serde_json::Value;
use silica_engine::{
    Choice, EmbedEngine as _, EmbedRequest, EncodeEngine, EncodeRequest, Encoding, EngineError,
    RerankEngine as _, RerankRequest, Says, TokenSequence, VectorShape, WholeContent,
};
use silica_types::TokenCount;

use super::{TextEmbedder, TextRanker, inspect_reader};
use crate::TextError;

/// What a scripted engine says of a sequence.
type Answer = Box<dyn Fn(&TokenSequence) -> Vec<f32> + Send + Sync>;

/// Keeps what it is asked, and says of each sequence what the test wants.
struct Scripted {
    says: Says,
    context: u32,
    asked: Mutex<Vec<EncodeRequest>>,
    answer: Answer,
}

impl Scripted {
    fn new(says: Says, answer: impl Fn(&TokenSequence) -> Vec<f32> + Send + Sync + 'static) -> Arc<Self> {
        Self::of(says, 128, answer)
    }

    fn of(
        says: Says,
        context: u32,
        answer: impl Fn(&TokenSequence) -> Vec<f32> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            says,
            context,
            asked: Mutex::default(),
            answer: Box::new(answer),
        })
    }

    fn asked(&self) -> EncodeRequest {
        self.asked.lock().unwrap().pop().unwrap()
    }
}

impl EncodeEngine for Scripted {
    fn context_length(&self) -> TokenCount {
        TokenCount(self.context)
    }

    fn vocabulary_size(&self) -> u32 {
        1000
    }

    fn says(&self) -> Says {
        self.says
    }

    fn encode(&self, request: EncodeRequest) -> Result<Encoding, EngineError> {
        let (sink, encoding) = Encoding::channel();
        let answers = request.sequences.iter().map(&self.answer).collect();
        self.asked.lock().unwrap().push(request);
        sink.send(Ok(answers));
        Ok(encoding)
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../engine-candle/tests/fixtures/encode")
        .join(name)
}

/// The texts of a fixture and the token sequences that the reference makes of them.
fn reference(name: &str) -> (Value, Vec<TokenSequence>) {
    let texts = std::fs::read(fixture(name).join("reference.json")).unwrap();
    let bytes = std::fs::read(fixture(name).join("reference.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let ids = |name: String| -> Vec<u32> {
        let words = tensors.tensor(&name).unwrap().data().as_chunks().0;
        words.iter().map(|word| u32::from_le_bytes(*word)).collect()
    };
    let count = tensors
        .names()
        .iter()
        .filter(|name| name.starts_with("tokens."))
        .count();
    let sequence = |index: usize| TokenSequence {
        tokens: ids(format!("tokens.{index}")),
        second: ids(format!("types.{index}")).iter().position(|kind| *kind == 1),
    };
    (
        serde_json::from_slice(&texts).unwrap(),
        (0..count).map(sequence).collect(),
    )
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn vectors(width: u32, nested: bool) -> Says {
    Says::Vector(VectorShape {
        width,
        normalised: true,
        nested,
    })
}

fn embed(inputs: &[&str], dimensions: Option<u32>) -> Arc<EmbedRequest> {
    Arc::new(EmbedRequest {
        inputs: inputs.iter().map(|text| (*text).to_owned()).collect(),
        dimensions,
        wire: None,
    })
}

fn rank(query: &str, documents: &[&str]) -> RerankRequest {
    RerankRequest {
        query: query.to_owned(),
        documents: documents.iter().map(|text| (*text).to_owned()).collect(),
        top_n: None,
        instruction: None,
        max_chunks_per_document: None,
        overlap_tokens: None,
        wire: None,
    }
}

async fn ranked(engine: &Arc<Scripted>, folder: &str, request: RerankRequest) -> Vec<(u32, f32)> {
    let ranker = TextRanker::load(&fixture(folder), Arc::clone(engine)).unwrap();
    let prepared = ranker.prepare(Arc::new(request)).await.unwrap();
    let prompt = prepared.prompt_tokens();
    let answer = prepared.run().await.unwrap();
    assert_eq!(answer.usage.prompt, prompt);
    let WholeContent::Computed(ranking) = answer.content else {
        panic!("computed")
    };
    ranking.0.iter().map(|place| (place.index, place.score)).collect()
}

#[tokio::test]
async fn texts_become_the_tokens_of_the_reference() {
    for name in ["bert-cls", "bert-mean", "xlmr-cls", "qwen3-embed"] {
        let (texts, sequences) = reference(name);
        let engine = Scripted::of(vectors(1, false), 256, |_| vec![1.0]);
        let embedder = TextEmbedder::load(&fixture(name), Arc::clone(&engine)).unwrap();
        let texts = strings(&texts["texts"]);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let prepared = embedder.prepare(embed(&texts, None)).await.unwrap();
        let tokens: usize = sequences.iter().map(|sequence| sequence.tokens.len()).sum();
        assert_eq!(prepared.prompt_tokens().get() as usize, tokens, "{name}");
        prepared.run().await.unwrap();
        assert_eq!(engine.asked().sequences, sequences, "{name}");
    }
}

#[tokio::test]
async fn pairs_become_the_tokens_of_the_reference() {
    for (name, says) in [
        ("bert-rerank", Says::Score),
        ("xlmr-rerank", Says::Score),
        ("qwen3-rerank", Says::Choice),
    ] {
        let (texts, sequences) = reference(name);
        let engine = Scripted::of(says, 256, |_| vec![1.0]);
        let documents = strings(&texts["documents"]);
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        ranked(&engine, name, rank(texts["query"].as_str().unwrap(), &documents)).await;
        let asked = engine.asked();
        assert_eq!(asked.sequences, sequences, "{name}");
        let tokenizer = tokenizers::Tokenizer::from_file(fixture(name).join("tokenizer.json")).unwrap();
        let choice = (says == Says::Choice).then(|| Choice {
            favourable: tokenizer.token_to_id("yes").unwrap(),
            unfavourable: tokenizer.token_to_id("no").unwrap(),
        });
        assert_eq!(asked.choice, choice, "{name}");
    }
}

#[tokio::test]
async fn special_tokens_that_texts_spell_are_plain_text() {
    let engine = Scripted::new(vectors(1, false), |_| vec![1.0]);
    let embedder = TextEmbedder::load(&fixture("bert-cls"), Arc::clone(&engine)).unwrap();
    let prepared = embedder
        .prepare(embed(&["the cat [SEP] the mat"], None))
        .await
        .unwrap();
    prepared.run().await.unwrap();
    let tokens = engine.asked().sequences.remove(0).tokens;
    let separator = *tokens.last().unwrap();
    assert_eq!(tokens.iter().filter(|token| **token == separator).count(), 1);
}

#[tokio::test]
async fn special_tokens_are_spelled_out_for_models_that_have_them_among_their_pieces() {
    let engine = Scripted::new(Says::Score, |_| vec![1.0]);
    let name = "xlmr-rerank";
    let tokenizer = tokenizers::Tokenizer::from_file(fixture(name).join("tokenizer.json")).unwrap();
    let end = tokenizer.token_to_id("</s>").unwrap();
    let mut counts = Vec::new();
    for document in ["the cat", "the </s></s> cat <s>", "<pad>"] {
        ranked(&engine, name, rank("the mat", &[document])).await;
        let tokens = engine.asked().sequences.remove(0).tokens;
        counts.push(tokens.iter().filter(|token| **token == end).count());
        assert!(
            !tokens.contains(&tokenizer.token_to_id("<pad>").unwrap()),
            "{document}"
        );
    }
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{counts:?}");
}

#[tokio::test]
async fn a_text_may_have_as_many_tokens_as_the_model_takes_and_not_one_more() {
    let engine = Scripted::of(vectors(1, false), 10, |_| vec![1.0]);
    let embedder = TextEmbedder::load(&fixture("bert-cls"), Arc::clone(&engine)).unwrap();
    // Eight words, and the two tokens around them.
    let fits = "cat ".repeat(8);
    assert!(embedder.prepare(embed(&[&fits], None)).await.is_ok());
    for (longer, at_least) in [("cat ".repeat(9), 11), ("cat ".repeat(100_000), 90_000)] {
        let refused = embedder
            .prepare(embed(&[&fits, &longer], None))
            .await
            .err()
            .unwrap();
        let EngineError::ContextExceeded { prompt, limit } = refused else {
            panic!("{refused}")
        };
        assert_eq!(limit, TokenCount(10));
        assert!(prompt.get() >= at_least, "{prompt}");
    }
}

#[tokio::test]
async fn vectors_are_cut_where_the_model_is_made_for_it() {
    let engine = Scripted::new(vectors(200, true), |_| (0..200_u8).map(f32::from).collect());
    let embedder = TextEmbedder::load(&fixture("qwen3-embed"), Arc::clone(&engine)).unwrap();
    for dimensions in [64, 128] {
        let prepared = embedder.prepare(embed(&["cat"], Some(dimensions))).await.unwrap();
        let WholeContent::Computed(vectors) = prepared.run().await.unwrap().content else {
            panic!("computed")
        };
        let vector = &vectors.0[0];
        assert_eq!(vector.len(), dimensions as usize);
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        assert!(
            (vector[2] / vector[1] - 2.0).abs() < 1e-5,
            "the beginning of the vector"
        );
    }
    assert!(
        embedder.prepare(embed(&["cat"], Some(200))).await.is_ok(),
        "its own width"
    );
    for dimensions in [1, 63, 199, 256, 4096] {
        let refused = embedder
            .prepare(embed(&["cat"], Some(dimensions)))
            .await
            .err()
            .unwrap();
        assert!(
            matches!(refused, EngineError::InvalidParameter("dimensions")),
            "{dimensions}: {refused}"
        );
    }
    let other = TextEmbedder::load(
        &fixture("bert-cls"),
        Scripted::new(vectors(64, false), |_| vec![]),
    )
    .unwrap();
    let refused = other.prepare(embed(&["cat"], Some(64))).await.err().unwrap();
    assert!(
        matches!(refused, EngineError::InvalidParameter("dimensions")),
        "{refused}"
    );
}

/// A score that says how many tokens the sequence has.
fn by_length() -> Arc<Scripted> {
    Scripted::new(Says::Score, |sequence| {
        vec![f32::from(u16::try_from(sequence.tokens.len()).unwrap()) / 100.0]
    })
}

#[tokio::test]
async fn the_best_come_first_and_equal_ones_in_order() {
    let documents = ["cat", "cat cat cat", "mat", "cat mat cat"];
    let order = ranked(&by_length(), "bert-rerank", rank("cat", &documents)).await;
    assert_eq!(
        order.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [1, 3, 0, 2]
    );
    let logit = |score: f32| (score / (1.0 - score)).ln() * 100.0;
    // [CLS] cat [SEP] cat cat cat [SEP]
    assert!((logit(order[0].1) - 7.0).abs() < 0.01);
    let two = RerankRequest {
        top_n: Some(2),
        ..rank("cat", &documents)
    };
    assert_eq!(ranked(&by_length(), "bert-rerank", two).await, order[..2]);
}

#[tokio::test]
async fn a_long_document_is_read_in_pieces_and_its_best_one_counts() {
    // The last piece is the shortest of the document's, and the best.
    let engine = Scripted::of(Says::Score, 30, |sequence| {
        vec![if sequence.tokens.len() == 20 { 2.0 } else { 0.0 }]
    });
    let document = "cat ".repeat(100);
    let request = RerankRequest {
        overlap_tokens: Some(5),
        ..rank("mat", &["mat", &document])
    };
    let order = ranked(&engine, "bert-rerank", request).await;
    assert_eq!((order[0].0, order[1]), (1, (0, 0.5)));
    let asked = engine.asked().sequences;
    // 30 less the three of the frame and the query's leave 26; four pieces share their borders:
    // 26 + 21 + 21 + 21 are 89, so a fifth has the rest.
    assert_eq!(asked.len(), 1 + 5);
    let lengths: Vec<usize> = asked[1..].iter().map(|sequence| sequence.tokens.len()).collect();
    assert_eq!(lengths, [30, 30, 30, 30, 20]);
    let query = &asked[0].tokens[..3];
    assert!(
        asked
            .iter()
            .all(|sequence| sequence.tokens.starts_with(query) && sequence.second == Some(3))
    );
}

#[tokio::test]
async fn a_document_of_too_many_pieces_and_a_query_that_fills_the_model_are_refused() {
    let ranker = TextRanker::load(
        &fixture("bert-rerank"),
        Scripted::of(Says::Score, 30, |_| vec![0.0]),
    )
    .unwrap();
    let document = "cat ".repeat(100);
    let refused = |request| async {
        match ranker.prepare(Arc::new(request)).await {
            Ok(_) => None,
            Err(EngineError::ContextExceeded { prompt, limit }) => Some((prompt.get(), limit.get())),
            Err(other) => panic!("{other}"),
        }
    };
    let pieces = |most| RerankRequest {
        overlap_tokens: Some(5),
        max_chunks_per_document: Some(most),
        ..rank("mat", &["mat", &document])
    };
    assert_eq!(refused(pieces(5)).await, None);
    assert_eq!(refused(pieces(4)).await, Some((104, 30)));
    let query = "mat ".repeat(26);
    assert_eq!(refused(rank(&query, &["cat"])).await, None);
    let query = "mat ".repeat(27);
    assert_eq!(refused(rank(&query, &["cat"])).await, Some((30, 30)));
}

#[tokio::test]
async fn a_model_that_is_asked_in_words_hears_the_instruction_and_refuses_what_does_not_fit() {
    let engine = Scripted::of(Says::Choice, 256, |sequence| {
        vec![f32::from(u16::try_from(sequence.tokens.len()).unwrap()) / 1000.0]
    });
    let usual = ranked(&engine, "qwen3-rerank", rank("cat", &["mat"])).await;
    let told = RerankRequest {
        instruction: Some("cat".to_owned()),
        ..rank("cat", &["mat"])
    };
    assert!(
        ranked(&engine, "qwen3-rerank", told).await[0].1 < usual[0].1,
        "the instruction is shorter"
    );
    let ranker = TextRanker::load(&fixture("qwen3-rerank"), engine).unwrap();
    let long = rank("cat", &["mat", &"cat ".repeat(300)]);
    let refused = ranker.prepare(Arc::new(long)).await.err().unwrap();
    assert!(
        matches!(
            refused,
            EngineError::ContextExceeded {
                limit: TokenCount(256),
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_folder_is_refused_for_another_use_and_with_another_model_s_tokenizer() {
    let scores = TextEmbedder::load(&fixture("bert-cls"), by_length())
        .err()
        .unwrap();
    assert!(matches!(scores, TextError::OtherUse { .. }), "{scores}");
    let engine = Scripted::new(vectors(1, false), |_| vec![]);
    let embeds = TextRanker::load(&fixture("bert-cls"), engine).err().unwrap();
    assert!(matches!(embeds, TextError::OtherUse { .. }), "{embeds}");
    let engine = Scripted::new(Says::Choice, |_| vec![]);
    let no_judge = TextRanker::load(&fixture("bert-cls"), engine).err().unwrap();
    assert!(no_judge.to_string().contains("<|im_start|>"), "{no_judge}");
    let other = inspect_reader(&fixture("bert-cls"), 20).unwrap_err();
    assert!(
        matches!(other, TextError::VocabularyTooLarge { logits: 20, .. }),
        "{other}"
    );
    assert!(inspect_reader(&fixture("bert-cls"), 200).unwrap() > 100);
}
