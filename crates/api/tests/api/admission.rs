//! Calls that are not admitted, and what admitted ones say about their limits.

use serde_json::{Value, json};
use silica_api::ApiConfig;
use silica_engine::scripted::ChatScript;
use silica_platform::{LimitMetrics, Limits, NewModel, Price, SubType};
use silica_protocol::ErrorDialect;
use silica_types::ModelName;

use super::support::App;

fn body() -> Value {
    json!({"model": "silica/plain", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]})
}

/// Sets limits and a price in CNY for each token; both as they come.
async fn set_model(app: &App, limits: LimitMetrics, price: Option<&str>) {
    let mut model = NewModel::new(ModelName::new("silica/plain").unwrap(), SubType::Chat);
    model.limits = (limits != LimitMetrics::default()).then_some(Limits::Metrics(limits));
    if let Some(price) = price {
        model.price = Price {
            input: Some(price.parse().unwrap()),
            output: Some(price.parse().unwrap()),
            ..Price::default()
        };
    }
    app.state.platform.put_model(model).await.unwrap();
}

#[tokio::test]
async fn each_metric_refuses_with_its_text_its_code_and_a_time() {
    let one = Some(1);
    let cases = [
        (
            "RPM",
            50601,
            "requests",
            LimitMetrics {
                requests_per_minute: one,
                ..LimitMetrics::default()
            },
        ),
        (
            "RPH",
            50607,
            "requests",
            LimitMetrics {
                requests_per_hour: one,
                ..LimitMetrics::default()
            },
        ),
        (
            "RPD",
            50608,
            "requests",
            LimitMetrics {
                requests_per_day: one,
                ..LimitMetrics::default()
            },
        ),
        (
            "TPM",
            50602,
            "tokens",
            LimitMetrics {
                tokens_per_minute: one,
                ..LimitMetrics::default()
            },
        ),
        (
            "TPD",
            50602,
            "tokens",
            LimitMetrics {
                tokens_per_day: one,
                ..LimitMetrics::default()
            },
        ),
    ];
    for (metric, code, kind, limits) in cases {
        let app = App::new().await;
        set_model(&app, limits, None).await;
        let admitted = app.chat(&body()).await;
        assert_eq!(admitted.status, 200, "{metric}");
        assert_eq!(
            admitted.header(&format!("x-ratelimit-limit-{kind}")),
            "1",
            "{metric}"
        );
        assert_eq!(
            admitted.header(&format!("x-ratelimit-remaining-{kind}")),
            "0",
            "{metric}"
        );
        let refused = app.chat(&body()).await;
        assert_eq!(refused.status, 429, "{metric}");
        assert_eq!(
            refused.json(),
            json!({
                "code": code,
                "message": format!("Request was rejected due to rate limiting. Details: {metric} limit reached."),
                "data": null
            })
        );
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!(seconds >= 1, "{metric}");
        assert_eq!(refused.header(&format!("x-ratelimit-limit-{kind}")), "1");
        assert_eq!(
            refused.header(&format!("x-ratelimit-reset-{kind}")),
            format!("{seconds}s")
        );
        assert_eq!(app.engine.requests().len(), 1, "{metric}");
    }
}

#[tokio::test]
async fn the_historical_refusal_has_no_code_and_keeps_its_headers() {
    let config = ApiConfig {
        dialect: ErrorDialect::February2025,
        ..ApiConfig::default()
    };
    let app = App::with_config(config).await;
    let limits = LimitMetrics {
        requests_per_minute: Some(1),
        ..LimitMetrics::default()
    };
    set_model(&app, limits, None).await;
    assert_eq!(app.chat(&body()).await.status, 200);
    let refused = app.chat(&body()).await;
    assert_eq!(
        refused.json(),
        json!({
            "message": "Request was rejected due to rate limiting. Details: RPM limit reached.",
            "data": null
        })
    );
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    assert_eq!(refused.header("x-ratelimit-limit-requests"), "1");
}

#[tokio::test]
async fn an_empty_wallet_is_403_with_the_exact_text_and_a_full_one_pays_streams_too() {
    let app = App::new().await;
    set_model(&app, LimitMetrics::default(), Some("1000000")).await;
    let refused = app.chat(&body()).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.json(),
        json!({"code": 30001, "message": "Sorry, your account balance is insufficient", "data": null})
    );
    assert_eq!(app.engine.requests().len(), 0);
    app.charge(100);
    assert_eq!(app.chat(&body()).await.status, 200);
    let mut streamed = body();
    streamed["stream"] = true.into();
    let answer = app.chat(&streamed).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    let info = app.get("/v1/user/info").await.json();
    // Two answers of 10 prompt and 2 completion tokens at 1 CNY each.
    assert_eq!(info["data"]["totalBalance"], "76.00", "{info}");
}

#[tokio::test]
async fn a_refusal_in_a_stream_request_has_its_status() {
    let app = App::new().await;
    let limits = LimitMetrics {
        requests_per_minute: Some(1),
        ..LimitMetrics::default()
    };
    set_model(&app, limits, None).await;
    app.engine.push(ChatScript::answer(&["a"]));
    let mut streamed = body();
    streamed["stream"] = true.into();
    assert_eq!(app.chat(&streamed).await.status, 200);
    let refused = app.chat(&streamed).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("content-type")),
        (429, "application/json; charset=utf-8")
    );
}

#[tokio::test]
async fn a_request_that_the_model_cannot_serve_counts_as_one() {
    let app = App::new().await;
    let limits = LimitMetrics {
        requests_per_minute: Some(1),
        ..LimitMetrics::default()
    };
    set_model(&app, limits, None).await;
    let mut json_mode = body();
    json_mode["response_format"] = json!({"type": "json_object"});
    assert_eq!(app.chat(&json_mode).await.status, 400);
    assert_eq!(app.chat(&body()).await.status, 429);
}
