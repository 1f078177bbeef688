//! Bills as JSON and as CSV.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use silica_platform::{Bill, BillGrouping, BillSubject, BillTotals, KeyStatus};
use silica_types::Money;

use super::BillFormat;
use super::csv::Csv;
use crate::Json;

/// The key of calls from the console's playground, which have none.
const PLAYGROUND: &str = "playground";

/// A bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BillView {
    /// The first day.
    #[schema(value_type = String, format = Date)]
    from: String,
    /// The last day.
    #[schema(value_type = String, format = Date)]
    to: String,
    /// day, month, model or key.
    #[schema(value_type = String, example = "model")]
    group_by: BillGrouping,
    /// Always CNY.
    #[schema(example = "CNY")]
    currency: &'static str,
    /// The sum of the rows.
    total: TotalsView,
    /// What has calls, in the order of days, model names or ages of keys.
    rows: Vec<RowView>,
}

/// A row of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
struct RowView {
    #[serde(flatten)]
    subject: SubjectView,
    #[serde(flatten)]
    totals: TotalsView,
}

/// What a row stands for: one of day, month, model, or key with what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
struct SubjectView {
    /// The day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    day: Option<String>,
    /// The month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2025-02")]
    month: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The key's public id, or `playground`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What the key is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The last four characters of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// `normal`, `disabled` or `deleted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    status: Option<KeyStatus>,
}

/// What calls used and cost. Amounts are decimal strings in CNY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
struct TotalsView {
    /// Settled calls.
    calls: u64,
    /// Input tokens, cached ones included.
    prompt_tokens: u64,
    /// Input tokens that were found in the cache.
    cached_tokens: u64,
    /// Output tokens, reasoning included.
    completion_tokens: u64,
    /// Output tokens that belong to reasoning.
    reasoning_tokens: u64,
    /// Generated images.
    images: u64,
    /// Pixels times inference steps.
    pixel_steps: u64,
    /// Generated videos.
    videos: u64,
    /// UTF-8 bytes of input text.
    text_bytes: u64,
    /// Audio or video, in milliseconds.
    milliseconds: u64,
    /// Tokens of training data times the epochs.
    training_tokens: u64,
    /// What the calls cost: what was paid and the shortfall.
    #[schema(value_type = String, example = "12.50")]
    amount: Money,
    /// What vouchers paid.
    #[schema(value_type = String, example = "2.00")]
    voucher: Money,
    /// What the gift balance paid.
    #[schema(value_type = String, example = "0.50")]
    gift: Money,
    /// What the charge balance paid.
    #[schema(value_type = String, example = "10.00")]
    charge: Money,
    /// What no balance could pay; it is not owed.
    #[schema(value_type = String, example = "0.00")]
    shortfall: Money,
}

/// Writes a bill in the format that was asked for. `wrap` puts its JSON into what the API's answers
/// come in.
pub fn respond_with_bill<T: Serialize>(
    bill: &Bill,
    format: BillFormat,
    wrap: impl FnOnce(BillView) -> T,
) -> Response {
    match format {
        BillFormat::Json => Json(wrap(BillView::from(bill))).into_response(),
        BillFormat::Csv => csv_response(bill),
    }
}

fn csv_response(bill: &Bill) -> Response {
    let mut response = Response::new(Body::from(to_csv(bill)));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    headers.insert(header::CONTENT_TYPE, kind);
    let (first, last) = (bill.range.first(), bill.range.last());
    let name = format!(
        "attachment; filename=\"silica-bill-{first}-{last}-{}.csv\"",
        bill.grouping
    );
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

impl From<&Bill> for BillView {
    fn from(bill: &Bill) -> Self {
        Self {
            from: bill.range.first().to_string(),
            to: bill.range.last().to_string(),
            group_by: bill.grouping,
            currency: "CNY",
            total: TotalsView::from(&bill.total),
            rows: bill
                .rows
                .iter()
                .map(|(subject, totals)| RowView {
                    subject: SubjectView::from(subject),
                    totals: TotalsView::from(totals),
                })
                .collect(),
        }
    }
}

impl From<&BillSubject> for SubjectView {
    fn from(subject: &BillSubject) -> Self {
        let none = Self::default();
        match subject {
            BillSubject::Day(day) => Self {
                day: Some(day.to_string()),
                ..none
            },
            BillSubject::Month(month) => Self {
                month: Some(month_text(*month)),
                ..none
            },
            BillSubject::Model(model) => Self {
                model: Some(model.to_string()),
                ..none
            },
            BillSubject::Playground => Self {
                key: Some(PLAYGROUND.to_owned()),
                description: Some(String::new()),
                hint: Some(String::new()),
                ..none
            },
            BillSubject::Key {
                id,
                description,
                hint,
                status,
            } => Self {
                key: Some(id.to_string()),
                description: Some(description.clone()),
                hint: Some(hint.clone()),
                status: *status,
                ..none
            },
        }
    }
}

fn month_text(month: i32) -> String {
    format!("{:04}-{:02}", month / 100, month % 100)
}

impl From<&BillTotals> for TotalsView {
    fn from(totals: &BillTotals) -> Self {
        Self {
            calls: totals.calls,
            prompt_tokens: totals.prompt_tokens,
            cached_tokens: totals.cached_tokens,
            completion_tokens: totals.completion_tokens,
            reasoning_tokens: totals.reasoning_tokens,
            images: totals.images,
            pixel_steps: totals.pixel_steps,
            videos: totals.videos,
            text_bytes: totals.text_bytes,
            milliseconds: totals.milliseconds,
            training_tokens: totals.training_tokens,
            amount: totals.amount(),
            voucher: totals.voucher,
            gift: totals.gift,
            charge: totals.charge,
            shortfall: totals.shortfall,
        }
    }
}

impl TotalsView {
    /// The counts with their names.
    const fn counts(&self) -> [(&'static str, u64); 11] {
        [
            ("calls", self.calls),
            ("prompt_tokens", self.prompt_tokens),
            ("cached_tokens", self.cached_tokens),
            ("completion_tokens", self.completion_tokens),
            ("reasoning_tokens", self.reasoning_tokens),
            ("images", self.images),
            ("pixel_steps", self.pixel_steps),
            ("videos", self.videos),
            ("text_bytes", self.text_bytes),
            ("milliseconds", self.milliseconds),
            ("training_tokens", self.training_tokens),
        ]
    }

    /// The amounts with their names.
    const fn amounts(&self) -> [(&'static str, Money); 5] {
        [
            ("amount", self.amount),
            ("voucher", self.voucher),
            ("gift", self.gift),
            ("charge", self.charge),
            ("shortfall", self.shortfall),
        ]
    }
}

fn to_csv(bill: &Bill) -> String {
    let mut csv = Csv::default();
    let subject: &[&str] = match bill.grouping {
        BillGrouping::Day => &["day"],
        BillGrouping::Month => &["month"],
        BillGrouping::Model => &["model"],
        BillGrouping::Key => &["key", "description", "hint", "status"],
    };
    for name in subject {
        csv.plain(name);
    }
    let names = TotalsView::from(&bill.total);
    names.counts().iter().for_each(|(name, _)| csv.plain(name));
    names.amounts().iter().for_each(|(name, _)| csv.plain(name));
    csv.end_row();
    for (subject, totals) in &bill.rows {
        write_subject(&mut csv, subject);
        let totals = TotalsView::from(totals);
        totals.counts().iter().for_each(|(_, count)| csv.plain(count));
        totals.amounts().iter().for_each(|(_, amount)| csv.plain(amount));
        csv.end_row();
    }
    csv.finish()
}

fn write_subject(csv: &mut Csv, subject: &BillSubject) {
    match subject {
        BillSubject::Day(day) => csv.plain(day),
        BillSubject::Month(month) => csv.plain(month_text(*month)),
        BillSubject::Model(model) => csv.text(model.as_str()),
        BillSubject::Playground => [PLAYGROUND, "", "", ""]
            .into_iter()
            .for_each(|cell| csv.plain(cell)),
        BillSubject::Key {
            id,
            description,
            hint,
            status,
        } => {
            csv.plain(id);
            csv.text(description);
            csv.text(hint);
            csv.plain(status.map_or("", KeyStatus::as_str));
        }
    }
}

#[cfg(test)]
mod tests {
    use silica_platform::BillRange;
    use silica_types::{ApiKeyId, ModelName};

    use super::*;

    fn bill(grouping: BillGrouping, subjects: Vec<BillSubject>) -> Bill {
        let totals = BillTotals {
            calls: 3,
            prompt_tokens: 20,
            gift: Money::from_nano(6_400_000),
            charge: Money::from_nano(1_000_000_000),
            ..BillTotals::default()
        };
        Bill {
            range: BillRange::month_of("2025-02-13".parse().unwrap()),
            grouping,
            rows: subjects.into_iter().map(|subject| (subject, totals)).collect(),
            total: totals,
        }
    }

    #[test]
    fn csv_has_a_line_of_names_and_one_a_row() {
        let bill = bill(BillGrouping::Month, vec![BillSubject::Month(202_502)]);
        assert_eq!(
            to_csv(&bill),
            "month,calls,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,images,pixel_steps,videos,\
             text_bytes,milliseconds,training_tokens,amount,voucher,gift,charge,shortfall\r\n\
             2025-02,3,20,0,0,0,0,0,0,0,0,0,1.0064,0.00,0.0064,1.00,0.00\r\n"
        );
    }

    #[test]
    fn names_of_keys_and_models_are_no_formulas() {
        let key = BillSubject::Key {
            id: ApiKeyId::PLAYGROUND,
            description: "=HYPERLINK(\"x\",\"y\")".to_owned(),
            hint: "abcd".to_owned(),
            status: Some(KeyStatus::Deleted),
        };
        let csv = to_csv(&bill(BillGrouping::Key, vec![key, BillSubject::Playground]));
        let lines: Vec<_> = csv.lines().collect();
        assert!(
            lines[1].contains(r#","'=HYPERLINK(""x"",""y"")",abcd,deleted,3,"#),
            "{csv}"
        );
        assert!(lines[2].starts_with("playground,,,,3,"), "{csv}");
        let model = BillSubject::Model(ModelName::new("@vendor/model").unwrap());
        let csv = to_csv(&bill(BillGrouping::Model, vec![model]));
        assert!(csv.contains("\r\n'@vendor/model,3,"), "{csv}");
    }

    #[test]
    fn json_has_the_subject_and_the_sums_side_by_side() {
        let bill = bill(
            BillGrouping::Day,
            vec![BillSubject::Day("2025-02-13".parse().unwrap())],
        );
        let json = serde_json::to_value(BillView::from(&bill)).unwrap();
        assert_eq!(json["from"], "2025-02-01");
        assert_eq!(json["rows"][0]["day"], "2025-02-13");
        assert_eq!(json["rows"][0]["amount"], "1.0064");
        assert_eq!(json["rows"][0].get("model"), None);
        assert_eq!(
            (&json["total"]["calls"], &json["group_by"]),
            (&3.into(), &"day".into())
        );
    }
}
