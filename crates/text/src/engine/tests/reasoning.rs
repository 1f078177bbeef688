//! Reasoning of models whose template opens the block in the prompt, in the manner of `DeepSeek-R1`.

use super::*;

impl Fixture {
    /// The demo model with this template.
    fn with_template(template: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["tokenizer.json", "generation_config.json"] {
            std::fs::copy(tiny_chat().join(file), folder.path().join(file)).unwrap();
        }
        std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
        let tokens = Arc::new(ScriptedTokenEngine::new(CONTEXT, 4096));
        Self {
            chat: TextEngine::load(folder.path(), Arc::clone(&tokens), "r1").unwrap(),
            tokens,
            tokenizer: tiny_tokenizer(),
        }
    }
}

/// As that model's own: earlier thoughts are cut off, and the answer begins with a thought.
const OPENS: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n<think>\n";

fn bounded(budget: u32) -> ChatRequest {
    ChatRequest {
        thinking: Thinking {
            enabled: None,
            budget: Some(TokenCount(budget)),
        },
        ..request()
    }
}

#[tokio::test]
async fn an_answer_whose_block_the_prompt_has_opened_begins_with_reasoning() {
    let fixture = Fixture::with_template(OPENS);
    let tokens = fixture.answers("1+1=2\n</think>\n\n2");
    let outcome = fixture.run(request()).await;
    assert_eq!(
        (outcome.reasoning[0].as_str(), outcome.content[0].as_str()),
        ("1+1=2", "2")
    );
    let after = u32::try_from(fixture.ids("\n\n2<|im_end|>").len()).unwrap();
    assert_eq!(outcome.usage.reasoning, TokenCount(tokens - after));
    assert_eq!(outcome.usage.completion, TokenCount(tokens));
}

#[tokio::test]
async fn a_thought_that_its_limit_cuts_is_no_content() {
    let fixture = Fixture::with_template(OPENS);
    let ids = fixture.ids("1+1=");
    fixture
        .tokens
        .push(TokenScript::sequence(&ids, StopCause::Length));
    let outcome = fixture.run(request()).await;
    assert_eq!(
        (outcome.reasoning[0].as_str(), outcome.content[0].as_str()),
        ("1+1=", "")
    );
    assert_eq!(outcome.reasons, [(0, FinishReason::Length)]);
    assert_eq!(outcome.usage.reasoning, TokenCount::of(&ids));
}

#[tokio::test]
async fn a_budget_counts_from_the_first_token_where_the_prompt_has_opened_the_block() {
    for (fixture, opens) in [
        (Fixture::with_template(OPENS), None),
        (Fixture::new(), tiny_tokenizer().token_to_id("<think>")),
    ] {
        fixture.answers("</think>2");
        fixture.run(bounded(128)).await;
        let limit = fixture.tokens.requests()[0].span_limit.clone().unwrap();
        assert_eq!((limit.opens, limit.limit), (opens, TokenCount(128)));
    }
}

#[tokio::test]
async fn earlier_thoughts_are_not_put_back_into_the_prompt() {
    let thought = "<think>\nsecret\n</think>\n\n2";
    for (fixture, said) in [(Fixture::with_template(OPENS), thought), (Fixture::new(), "2")] {
        fixture.answers("</think>2");
        let turn = |role, content: &str| Message {
            role,
            content: content.to_owned(),
            ..Message::default()
        };
        let answered = Message {
            reasoning: Some("secret".to_owned()),
            ..turn(Role::Assistant, said)
        };
        let messages = vec![turn(Role::User, "1+1?"), answered, turn(Role::User, "2+2?")];
        fixture
            .run(ChatRequest {
                messages,
                ..request()
            })
            .await;
        let prompt = &fixture.tokens.requests()[0].prompt;
        let text = fixture.tokenizer.decode(prompt, false).unwrap();
        assert!(!text.contains("secret") && text.contains("2+2?"), "{text}");
    }
}

#[tokio::test]
async fn a_model_that_cannot_but_think_takes_no_switch() {
    let fixture = Fixture::with_template(OPENS);
    let thinking = Thinking {
        enabled: Some(false),
        budget: None,
    };
    let refused = fixture
        .chat
        .chat(ChatRequest {
            thinking,
            ..request()
        })
        .await;
    assert!(matches!(
        refused.err(),
        Some(EngineError::Unsupported(Feature::Thinking))
    ));
}
