//! A moderation service of which questions fail.

use std::time::Duration;

use silica_engine::{ModerationError, Moderator as _};
use silica_engine_remote::{ModeratorOptions, RemoteModerator};
use silica_testkit::{ModerationFault, ModerationServer};

use super::support::LONG;

/// The texts of a question, and the questions at the same time.
const TEXTS: usize = 16;
const QUESTIONS: usize = 4;

fn moderator(service: &ModerationServer, limit: Duration) -> RemoteModerator {
    let options = ModeratorOptions {
        base_url: service.base_url(),
        api_key: None,
        model: None,
        allow_private: true,
        limit,
        categories: Vec::new(),
        threshold: None,
        authorities: None,
    };
    RemoteModerator::new(options).unwrap()
}

/// So many questions, of which the first text and the last one are these.
fn texts(questions: usize, first: &str, last: &str) -> Vec<String> {
    let mut texts = vec!["fine".to_owned(); questions * TEXTS];
    first.clone_into(&mut texts[0]);
    if let Some(end) = texts.last_mut() {
        last.clone_into(end);
    }
    texts
}

#[tokio::test]
async fn a_refusal_goes_before_the_failure_of_another_question() {
    let service = ModerationServer::start("forbidden").await;
    let moderator = moderator(&service, LONG);
    for status in [400, 500] {
        service.set_fault_on("broken", ModerationFault::Status(status));
        let refused = moderator
            .refuses(texts(3 * QUESTIONS, "broken", "forbidden"))
            .await;
        assert!(refused.unwrap(), "{status}");
    }
}

#[tokio::test]
async fn a_question_that_the_service_refuses_is_the_fault_of_its_texts() {
    let service = ModerationServer::start("forbidden").await;
    let moderator = moderator(&service, LONG);
    for (status, is_of_texts) in [(400, true), (413, true), (422, true), (429, false), (500, false)] {
        service.set_fault_on("broken", ModerationFault::Status(status));
        let told = moderator.refuses(texts(2, "broken", "fine")).await.unwrap_err();
        let is_invalid = matches!(told, ModerationError::Invalid(_));
        assert_eq!(is_invalid, is_of_texts, "{status}: {told:?}");
    }
}

#[tokio::test]
async fn the_limit_is_that_of_all_questions_together() {
    let service = ModerationServer::start("forbidden").await;
    let moderator = moderator(&service, Duration::from_millis(300));
    service.set_fault(ModerationFault::Hang);
    let told = moderator
        .refuses(texts(3 * QUESTIONS, "fine", "fine"))
        .await
        .unwrap_err();
    assert!(matches!(told, ModerationError::Unavailable(_)), "{told:?}");
    assert!(service.requests().len() <= QUESTIONS, "no second turn");
}

#[tokio::test]
async fn texts_that_take_a_service_too_long_are_why_there_is_no_judgement() {
    let service = ModerationServer::start("forbidden").await;
    let moderator = moderator(&service, Duration::from_secs(2));
    service.set_fault_on("slow", ModerationFault::Hang);
    let told = moderator.refuses(texts(2, "slow", "fine")).await.unwrap_err();
    assert!(matches!(told, ModerationError::Invalid(_)), "{told:?}");
}

#[tokio::test]
async fn an_answer_without_what_counts_is_none() {
    let service = ModerationServer::start("forbidden").await;
    service.set_fault(ModerationFault::Bare);
    let options = ModeratorOptions {
        base_url: service.base_url(),
        api_key: None,
        model: None,
        allow_private: true,
        limit: LONG,
        categories: Vec::new(),
        threshold: Some(0.5),
        authorities: None,
    };
    let moderator = RemoteModerator::new(options).unwrap();
    let told = moderator.refuses(vec!["fine".to_owned()]).await.unwrap_err();
    assert!(matches!(told, ModerationError::Unavailable(_)), "{told:?}");
}
