//! Answers that are odd but right: the client sees what the contract promises.

use silica_testkit::{FirstFrame, LineEnds, ReasoningField, Upstream, UpstreamScript, UsageFrames};

use super::pair::{Replica, Shop, frames, parse, words};

fn usual() -> UpstreamScript {
    UpstreamScript {
        marker: "first".to_owned(),
        ..UpstreamScript::default()
    }
}

fn streams() -> Vec<(&'static str, UpstreamScript)> {
    vec![
        (
            "carriage-returns",
            UpstreamScript {
                ends: LineEnds::CrLf,
                ..usual()
            },
        ),
        (
            "returns-alone",
            UpstreamScript {
                ends: LineEnds::Cr,
                ..usual()
            },
        ),
        (
            "comments",
            UpstreamScript {
                comments: true,
                ..usual()
            },
        ),
        ("single-bytes", UpstreamScript { split: 1, ..usual() }),
        (
            "odd-pieces",
            UpstreamScript {
                split: 7,
                ends: LineEnds::CrLf,
                comments: true,
                ..usual()
            },
        ),
        (
            "role-only",
            UpstreamScript {
                first: FirstFrame::RoleOnly,
                ..usual()
            },
        ),
        (
            "no-role",
            UpstreamScript {
                first: FirstFrame::Token,
                ..usual()
            },
        ),
        (
            "no-choices",
            UpstreamScript {
                first: FirstFrame::NoChoices,
                ..usual()
            },
        ),
        (
            "no-done",
            UpstreamScript {
                omits_done: true,
                ..usual()
            },
        ),
        (
            "usage-in-every-frame",
            UpstreamScript {
                usage: UsageFrames::Every,
                ..usual()
            },
        ),
        (
            "usage-with-the-end",
            UpstreamScript {
                usage: UsageFrames::Finish,
                ..usual()
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_stream_is_passed_on_whole_and_paid_by_its_usage() {
    let shop = Shop::open().await;
    for (name, script) in streams() {
        let first = Replica::Engine(Upstream::start_with(script).await);
        let model = format!("odd/{name}");
        shop.deploy(&model, &[&first]).await;
        let told = shop.call(&model, &model, true).await;
        told.is_whole(&model, true);
        // The contract's frames always have a choice: the usage comes with the last one's end.
        for frame in frames(&told.text).iter().filter(|frame| *frame != "[DONE]") {
            let frame = parse(frame);
            assert!(frame["choices"][0].is_object(), "{model}: {frame}");
            assert_eq!(frame["model"], model.as_str(), "{frame}");
            assert_ne!(frame["id"], "first", "the engine's id: {frame}");
        }
        shop.due(&model);
    }
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_under_its_other_name_is_reasoning() {
    let shop = Shop::open().await;
    let script = UpstreamScript {
        reasoning: 2,
        reasoning_field: ReasoningField::Reasoning,
        ..usual()
    };
    let first = Replica::Engine(Upstream::start_with(script).await);
    shop.deploy("odd/reasoning", &[&first]).await;
    let told = shop.call("odd/reasoning", "reasoning-stream", true).await;
    assert_eq!(words(&told.text), "t2 t3 t4 ", "{told:?}");
    let frames = frames(&told.text);
    let reasoning = frames.iter().filter(|frame| *frame != "[DONE]").map(|frame| {
        let delta = &parse(frame)["choices"][0]["delta"];
        delta["reasoning_content"].as_str().unwrap_or_default().to_owned()
    });
    assert_eq!(reasoning.collect::<String>(), "t0 t1 ", "{told:?}");
    let told = shop.call("odd/reasoning", "reasoning-whole", false).await;
    let message = &parse(&told.text)["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "t0 t1 ", "{told:?}");
    assert_eq!(message["content"], "t2 t3 t4 ", "{told:?}");
    shop.due("reasoning-stream");
    shop.due("reasoning-whole");
    shop.is_paid().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_count_is_paid_by_the_estimate_and_the_client_sees_it() {
    let shop = Shop::open().await;
    for usage in [UsageFrames::None, UsageFrames::Null] {
        for is_streamed in [true, false] {
            let script = UpstreamScript { usage, ..usual() };
            let first = Replica::Engine(Upstream::start_with(script).await);
            let model = format!("odd/uncounted-{usage:?}-{is_streamed}");
            shop.deploy(&model, &[&first]).await;
            let told = shop.call(&model, &model, is_streamed).await;
            let last = if is_streamed {
                let frames = frames(&told.text);
                parse(&frames[frames.len() - 2])
            } else {
                parse(&told.text)
            };
            // `hello` is two tokens by the estimate, and four are the frame around a message. Of a
            // text in one piece nobody sees the tokens; the estimate is low rather than high.
            let tokens = if is_streamed { 5 } else { 1 };
            assert_eq!(last["usage"]["prompt_tokens"], 6, "{model}: {last}");
            assert_eq!(last["usage"]["completion_tokens"], tokens, "{model}: {last}");
            shop.due_exactly(&model, 6_000_000 + tokens * 2_000_000);
        }
    }
    shop.is_paid().await;
}
