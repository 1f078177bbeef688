use super::*;

/// The documents of an answer to a request for the best `top_n` of three, best first.
fn ranked(results: &str, top_n: Option<u32>) -> Result<Vec<u32>, RemoteError> {
    let answer: Ranked = serde_json::from_str(&format!(r#"{{"results":[{results}]}}"#)).unwrap();
    let Ranking(documents) = answer.ranking(3, top_n)?;
    Ok(documents.iter().map(|document| document.index).collect())
}

const FIRST: &str = r#"{"index":0,"relevance_score":0.1}"#;
const SECOND: &str = r#"{"index":1,"relevance_score":0.9}"#;
const THIRD: &str = r#"{"index":2,"relevance_score":0.5}"#;

#[test]
fn the_best_come_first_as_many_as_are_wanted() {
    let all = format!("{FIRST},{SECOND},{THIRD}");
    assert_eq!(ranked(&all, None).unwrap(), [1, 2, 0]);
    assert_eq!(ranked(&all, Some(2)).unwrap(), [1, 2]);
    assert_eq!(ranked(&all, Some(9)).unwrap(), [1, 2, 0]);
    assert_eq!(ranked(&format!("{FIRST},{SECOND}"), Some(2)).unwrap(), [1, 0]);
}

#[test]
fn a_ranking_with_too_few_or_doubled_documents_is_malformed() {
    for (results, top_n) in [
        (String::new(), None),
        (String::new(), Some(1)),
        (format!("{FIRST},{SECOND}"), None),
        (format!("{FIRST},{SECOND}"), Some(3)),
        (FIRST.to_owned(), Some(2)),
        (format!("{FIRST},{SECOND},{FIRST}"), None),
        (format!("{FIRST},{FIRST}"), Some(1)),
        (FIRST.replace("0.1", "1e39"), Some(1)),
        (FIRST.replace("\"index\":0", "\"index\":3"), Some(1)),
    ] {
        let refused = ranked(&results, top_n);
        assert!(
            matches!(refused, Err(RemoteError::Malformed { .. })),
            "{results} {top_n:?}: {refused:?}"
        );
    }
}
