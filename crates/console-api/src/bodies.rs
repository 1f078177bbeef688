//! The bodies of this API for those who read models and deployments from somewhere else: what a
//! file may say is what a request may say, because the same types read it.

use serde::de::DeserializeOwned;
use silica_platform::{NewDeployment, NewModel};

use crate::admin::deployments::put::PutDeployment;
use crate::admin::models::put::PutModel;

/// Why a body is not one. Holds values only where the parser quotes them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyFault {
    /// The field's path, such as `replicas[0].weight`; empty when none is at fault.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Reads the body of `PUT /admin/v1/models`.
///
/// # Errors
/// The first field that is missing, unknown or of another type.
pub fn model_from_json(json: &str) -> Result<NewModel, BodyFault> {
    let body: PutModel = read(json)?;
    NewModel::try_from(body).map_err(|error| BodyFault {
        field: String::new(),
        message: error.message.into_owned(),
    })
}

/// Reads the body of `PUT /admin/v1/deployments` for a deployment that replaces none: a replica
/// without `api_key` has no key.
///
/// # Errors
/// The first field that is missing, unknown or of another type.
pub fn deployment_from_json(json: &str) -> Result<NewDeployment, BodyFault> {
    let body: PutDeployment = read(json)?;
    Ok(body.over(None))
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, BodyFault> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let message = error.into_inner().to_string();
        // The place in a text that nobody has written helps nobody.
        let message = match message.rfind(" at line ") {
            Some(end) => message.get(..end).unwrap_or_default().to_owned(),
            None => message,
        };
        BodyFault {
            field: field.trim_matches(['.', '?']).to_owned(),
            message,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_those_of_the_requests() {
        let model = model_from_json(r#"{"id":"m/a","type":"text","sub_type":"chat","price":{"input":0.70}}"#)
            .unwrap();
        assert_eq!(model.price.input.unwrap().to_string(), "0.70");
        let deployment = deployment_from_json(
            r#"{"name":"a","models":["m/a"],"replicas":[{"engine":"openai","url":"http://h/v1","weight":2}]}"#,
        )
        .unwrap();
        assert_eq!(deployment.replicas[0].weight, Some(2));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let fault =
            deployment_from_json(r#"{"name":"a","models":[],"replicas":[{"engine":"openai","weight":"2"}]}"#)
                .unwrap_err();
        assert_eq!(fault.field, "replicas[0].weight");
        assert!(!fault.message.contains(" at line "), "{fault}");
        let fault =
            model_from_json(r#"{"id":"m/a","type":"text","sub_type":"chat","prize":{}}"#).unwrap_err();
        assert!(fault.message.contains("`prize`"), "{fault}");
    }
}
