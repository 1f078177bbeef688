//! Bodies that engines elsewhere get as they came: the members that decide who answers and what it
//! may cost have one name and one value, whoever reads them.

use serde_json::{Value, json};
use silica_protocol::openai::chat::ChatCompletionRequest;
use silica_protocol::openai::completions::CompletionRequest;
use silica_protocol::openai::embeddings::EmbeddingRequest;
use silica_protocol::silicon::rerank::RerankRequest;
use silica_protocol::{ForwardableBody, MemberSpans};

/// Reads a text as the body of one route.
type Read = fn(&str) -> Result<MemberSpans, (u32, String)>;

fn read<T: ForwardableBody>(text: &str) -> Result<MemberSpans, (u32, String)> {
    match T::from_json_with_spans(text) {
        Ok((_, spans)) => Ok(spans),
        Err(error) => Err((error.code.number(), error.message.into_owned())),
    }
}

/// Every forwarded route with a valid body.
fn routes() -> [(Read, Value); 4] {
    [
        (
            read::<ChatCompletionRequest>,
            json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
        ),
        (read::<CompletionRequest>, json!({"model": "m", "prompt": "Hi"})),
        (read::<EmbeddingRequest>, json!({"model": "m", "input": "Hi"})),
        (
            read::<RerankRequest>,
            json!({"model": "m", "query": "Hi", "documents": ["Hi"]}),
        ),
    ]
}

#[test]
fn names_that_other_servers_take_for_a_guarded_one_are_refused_on_every_route() {
    for (read, body) in routes() {
        assert!(read(&body.to_string()).is_ok(), "{body}");
        for (alike, name) in [
            ("Model", "model"),
            ("mODEL", "model"),
            ("Max_Tokens", "max_tokens"),
            ("max_to\u{212a}ens", "max_tokens"),
            ("MAX_COMPLETION_TOKENS", "max_completion_tokens"),
            ("N_Predict", "n_predict"),
            ("N", "n"),
            ("Best_of", "best_of"),
            ("Stream", "stream"),
            ("\u{17f}tream", "stream"),
            ("stream_Options", "stream_options"),
        ] {
            let mut body = body.clone();
            body[alike] = 1.into();
            let text = format!("{name}: The field's name should be written in lower case");
            assert_eq!(read(&body.to_string()), Err((20015, text)), "{body}");
        }
        // As the text of a value, inside another member, or as a name of its own.
        let mut body = body;
        body["metadata"] = json!({"Model": "Model", "N": 1});
        body["models"] = "Model".into();
        assert!(read(&body.to_string()).is_ok(), "{body}");
    }
}

#[test]
fn escapes_hide_no_name() {
    for (read, body) in routes() {
        let text = body.to_string().replacen('{', r#"{"\u004dodel":"x","#, 1);
        assert_eq!(read(&text).map_err(|(code, _)| code), Err(20015), "{text}");
        let text = body.to_string().replacen(r#""model""#, r#""mod\u0065l""#, 1);
        assert!(read(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_guarded_name_that_is_there_twice_is_refused_and_another_is_not() {
    for (read, body) in routes() {
        for (name, more) in [
            ("model", r#"{"model":"n","#),
            ("model", r#"{"mod\u0065l":null,"#),
            ("max_tokens", r#"{"max_tokens":1,"max_tokens":1,"#),
            ("stream", r#"{"stream":false,"stream":false,"#),
        ] {
            let text = body.to_string().replacen('{', more, 1);
            let told = format!("{name}: The field should be there once");
            assert_eq!(read(&text), Err((20015, told)), "{text}");
        }
        let text = body.to_string().replacen('{', r#"{"user":"a","user":"b","#, 1);
        assert!(read(&text).is_ok(), "{text}");
    }
}

#[test]
fn the_spans_are_those_of_the_values() {
    let text = r#" {"x":{"model":1}, "mod\u0065l" : "\u00e9" ,"n_predict":null,"messages":[{"content":"n"}],"n":2 } "#;
    let (_, spans) = ChatCompletionRequest::from_json_with_spans(text).unwrap();
    let spans: Vec<_> = spans.into();
    let values: Vec<_> = spans
        .into_iter()
        .map(|(name, span)| (name, &text[span]))
        .collect();
    assert_eq!(
        values,
        [("model", r#""\u00e9""#), ("n_predict", "null"), ("n", "2")]
    );
}
