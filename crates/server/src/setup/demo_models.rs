//! The models that ship with Silica: folders with a `model.toml`, which says how the model appears
//! in the catalogue.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use silica_platform::{ModelFeature, ModelType, NewDeployment, NewModel, NewReplica, SubType};
use silica_types::ModelName;

/// The file that makes a folder a demo model.
const MANIFEST: &str = "model.toml";

/// A folder that can be deployed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DemoModel {
    /// Where the weights lie; absolute, so that the server finds them from any working folder.
    folder: PathBuf,
    manifest: Manifest,
}

/// The contents of `model.toml`; the fields are those of `PUT /admin/v1/models`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    id: ModelName,
    #[serde(rename = "type")]
    model_type: ModelType,
    sub_type: SubType,
    context_length: Option<u32>,
    #[serde(default)]
    features: Vec<ModelFeature>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    description: String,
}

impl DemoModel {
    /// The name in the catalogue, which is also the deployment's.
    pub(crate) fn name(&self) -> &str {
        self.manifest.id.as_str()
    }

    /// The catalogue entry.
    pub(crate) fn model(&self) -> NewModel {
        let manifest = self.manifest.clone();
        NewModel {
            model_type: manifest.model_type,
            context_length: manifest.context_length,
            features: manifest.features,
            tags: manifest.tags,
            description: manifest.description,
            ..NewModel::new(manifest.id, manifest.sub_type)
        }
    }

    /// A deployment with one embedded engine.
    pub(crate) fn deployment(&self) -> NewDeployment {
        let replica = NewReplica {
            engine: "candle".to_owned(),
            path: Some(self.folder.clone()),
            ..NewReplica::default()
        };
        NewDeployment {
            name: self.name().to_owned(),
            models: vec![self.name().to_owned()],
            replicas: vec![replica],
            ..NewDeployment::default()
        }
    }
}

/// Finds the demo models: in `configured`, else in `models` of `working`, else beside `executable`.
///
/// # Errors
/// When the configured folder is missing or a manifest is malformed.
pub(crate) fn find(
    configured: Option<&Path>,
    working: &Path,
    executable: Option<&Path>,
) -> anyhow::Result<Vec<DemoModel>> {
    if let Some(folder) = configured {
        return read_folder(folder).with_context(|| format!("models.dir {}", folder.display()));
    }
    let beside = executable
        .and_then(Path::parent)
        .map(|folder| folder.join("models"));
    let candidates = [Some(working.join("models")), beside];
    match candidates.into_iter().flatten().find(|folder| folder.is_dir()) {
        Some(folder) => read_folder(&folder),
        None => Ok(Vec::new()),
    }
}

fn read_folder(folder: &Path) -> anyhow::Result<Vec<DemoModel>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    // The order of a folder is the file system's whim; the catalogue's order should not be.
    folders.sort();
    let mut models: Vec<DemoModel> = Vec::new();
    for folder in folders.iter().filter(|folder| folder.join(MANIFEST).is_file()) {
        let model = read_manifest(folder)?;
        if models.iter().any(|other| other.name() == model.name()) {
            bail!("{}: a second model named {}", folder.display(), model.name());
        }
        models.push(model);
    }
    Ok(models)
}

fn read_manifest(folder: &Path) -> anyhow::Result<DemoModel> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(DemoModel {
        folder: folder.canonicalize()?,
        manifest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(models: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, manifest) in models {
            fs::create_dir_all(root.path().join("models").join(name)).unwrap();
            fs::write(root.path().join("models").join(name).join(MANIFEST), manifest).unwrap();
        }
        root
    }

    fn manifest(id: &str) -> String {
        format!("id = \"{id}\"\ntype = \"text\"\nsub_type = \"chat\"\nfeatures = [\"fim\"]\n")
    }

    #[test]
    fn models_of_the_working_folder_come_in_order_with_absolute_paths() {
        let root = folder_with(&[("b", &manifest("silica/b")), ("a", &manifest("silica/a"))]);
        fs::create_dir_all(root.path().join("models/no-model")).unwrap();
        let models = find(None, root.path(), None).unwrap();
        assert_eq!(
            models.iter().map(DemoModel::name).collect::<Vec<_>>(),
            ["silica/a", "silica/b"]
        );
        let deployment = models[0].deployment();
        assert_eq!(
            (deployment.name.as_str(), deployment.models),
            ("silica/a", vec!["silica/a".to_owned()])
        );
        assert!(deployment.replicas[0].path.as_ref().unwrap().is_absolute());
        assert_eq!(models[0].model().features, [ModelFeature::Fim]);
    }

    #[test]
    fn models_beside_the_executable_are_the_second_choice() {
        let root = folder_with(&[("a", &manifest("silica/a"))]);
        let elsewhere = tempfile::tempdir().unwrap();
        let executable = root.path().join("silica");
        assert_eq!(find(None, elsewhere.path(), Some(&executable)).unwrap().len(), 1);
        assert_eq!(find(None, elsewhere.path(), None).unwrap(), []);
    }

    #[test]
    fn a_missing_folder_and_a_malformed_manifest_are_named() {
        let root = folder_with(&[("a", "id = \"silica/a\"\n")]);
        let error = find(Some(&root.path().join("nowhere")), root.path(), None).unwrap_err();
        assert!(format!("{error:#}").starts_with("models.dir "), "{error:#}");
        let error = find(None, root.path(), None).unwrap_err();
        assert!(format!("{error:#}").contains("a/model.toml"), "{error:#}");
    }

    #[test]
    fn two_models_of_one_name_are_refused() {
        let root = folder_with(&[("a", &manifest("silica/a")), ("b", &manifest("silica/a"))]);
        assert!(
            find(None, root.path(), None)
                .unwrap_err()
                .to_string()
                .contains("second model")
        );
    }
}
