//! The gateway itself: deployments in, calls through.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use silica_engine::{ChatRequest, ChatStream, Continuation, Feature, ToolChoice};
use silica_platform::{
    CallFacts, Caller, CatalogueModel, Deployment, Meter, ModelFeature, ModelStatus, Platform, SubType, Units,
};
use silica_types::{RequestId, SharedClock, TokenCount, TraceId};

use crate::record::{CallRecord, Delivery};
use crate::registry::Registry;
use crate::replica::{Loaded, Replica, Seat};
use crate::routes::Routes;
use crate::{Call, DeployError, EngineLoader, GatewayError, error_chain};

/// Routes calls to engines. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    platform: Platform,
    meter: Meter,
    loader: Arc<dyn EngineLoader>,
    clock: SharedClock,
    registry: Registry,
    routes: Routes,
    /// Held from the look at the catalogue to the change of the routes that follows from it.
    changing: Mutex<()>,
}

/// A deployment whose engines are loaded but which answers no calls yet. Dropping it unloads the
/// engines that nothing else uses.
#[must_use = "a prepared deployment answers calls only after Gateway::commit"]
pub struct Prepared(Arc<Loaded>);

impl Gateway {
    /// Makes a gateway without routes; see [`Gateway::reconcile`].
    pub fn new(platform: Platform, meter: Meter, loader: Arc<dyn EngineLoader>, clock: SharedClock) -> Self {
        let (registry, routes) = (Registry::default(), Routes::default());
        Self(Arc::new(Inner {
            platform,
            meter,
            loader,
            clock,
            registry,
            routes,
            changing: Mutex::default(),
        }))
    }

    /// Loads the engines of a deployment without putting it in force. Engines that run already
    /// for an equal replica of the same deployment are shared, not loaded again.
    ///
    /// # Errors
    /// When an engine cannot be loaded; the ones loaded before it are dropped.
    pub async fn prepare(&self, deployment: &Deployment) -> Result<Prepared, DeployError> {
        let mut replicas = Vec::with_capacity(deployment.replicas.len());
        for (position, spec) in deployment.replicas.iter().enumerate() {
            let loaded = self
                .0
                .registry
                .load(&*self.0.loader, deployment, position, spec)
                .await;
            let (slot, engine) = loaded.map_err(|source| DeployError {
                deployment: deployment.name.clone(),
                replica: position,
                source,
            })?;
            replicas.push(Replica::new(spec, engine, slot));
        }
        Ok(Prepared(Arc::new(Loaded {
            deployment: deployment.clone(),
            replicas,
        })))
    }

    /// Puts a prepared deployment in force, in the place of the one with its name, if it is what
    /// the catalogue wants.
    ///
    /// Between storing a deployment and this call, as while its engines were loaded, somebody may
    /// have stored another one or deleted it; that change brings its own commit, removal or
    /// reconciliation, which a late commit must not undo.
    pub fn commit(&self, prepared: Prepared) {
        let Prepared(loaded) = prepared;
        let name = &loaded.deployment.name;
        let _in_order = self.change();
        let catalogue = self.0.platform.catalogue();
        if !catalogue
            .deployment(name)
            .is_some_and(|wanted| loaded.serves(wanted))
        {
            tracing::info!(
                deployment.name = %name,
                "deployment {name} was changed or deleted in the meantime; the loaded one is dropped"
            );
            return;
        }
        self.0.routes.put(&loaded);
        tracing::info!(
            deployment.name = %name,
            replicas = loaded.replicas.len(),
            models = loaded.deployment.models.len(),
            "deployment {name} is in force"
        );
    }

    /// Takes a deployment out of force, unless the catalogue has it (again). Running calls go on
    /// to their end.
    pub fn remove(&self, deployment: &str) {
        let _in_order = self.change();
        if self.0.platform.catalogue().deployment(deployment).is_none() {
            self.0.routes.retain(|name| name != deployment);
        }
    }

    /// Without this lock a change could look at the catalogue, be overtaken by a whole later
    /// change, and then put its outdated result over that of the later one.
    fn change(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the routes follow the catalogue: loads what is missing or changed, drops what is
    /// gone. One bad deployment does not keep the others from being loaded.
    ///
    /// # Errors
    /// The first deployment that cannot be loaded; further ones are logged.
    pub async fn reconcile(&self) -> Result<(), DeployError> {
        let mut first_error = None;
        for deployment in self.0.platform.catalogue().deployments() {
            if self
                .0
                .routes
                .of_deployment(&deployment.name)
                .is_some_and(|loaded| loaded.serves(deployment))
            {
                continue;
            }
            match self.prepare(deployment).await {
                Ok(prepared) => self.commit(prepared),
                Err(error) if first_error.is_none() => first_error = Some(error),
                Err(error) => tracing::error!(error = %error_chain(&error), "deployment cannot be loaded"),
            }
        }
        self.drop_what_is_gone();
        first_error.map_or(Ok(()), Err)
    }

    fn drop_what_is_gone(&self) {
        let _in_order = self.change();
        let catalogue = self.0.platform.catalogue();
        self.0.routes.retain(|name| catalogue.deployment(name).is_some());
    }

    /// Whether every deployment of the catalogue has its engines.
    pub fn is_ready(&self) -> bool {
        let catalogue = self.0.platform.catalogue();
        catalogue
            .deployments()
            .iter()
            .all(|deployment| self.0.routes.of_deployment(&deployment.name).is_some())
    }

    /// Finds a chat model that may be called.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`] and [`GatewayError::ModelDisabled`].
    pub fn chat_model(&self, name: &str) -> Result<Arc<CatalogueModel>, GatewayError> {
        let catalogue = self.0.platform.catalogue();
        let model = catalogue
            .model(name)
            .filter(|model| model.sub_type == SubType::Chat)
            .filter(|model| catalogue.deployment_of(model.id.as_str()).is_some())
            .ok_or(GatewayError::UnknownModel)?;
        match model.status {
            ModelStatus::Normal => Ok(Arc::clone(model)),
            ModelStatus::Disabled => Err(GatewayError::ModelDisabled),
        }
    }

    /// Starts a chat: counts the request, builds its prompt, reserves its worst case, runs it.
    /// Dropping the future or the call cancels it; either way it is accounted for once, from the
    /// moment a model was found.
    ///
    /// # Errors
    /// Anything known before the engine has begun to answer. What was reserved is given back.
    pub async fn chat(
        &self,
        caller: &Caller,
        model: &str,
        trace: &TraceId,
        request: ChatRequest,
        delivery: Delivery,
    ) -> Result<Call, GatewayError> {
        let model = self.chat_model(model)?;
        let created = self.0.clock.now();
        let facts = CallFacts {
            id: RequestId::new(&*self.0.clock),
            trace: trace.clone(),
            started_at: created,
        };
        let mut record = CallRecord::begin(facts, caller, &model.id, delivery);
        let choices = request.choices;
        match self.start(&mut record, caller, &model, request).await {
            Ok((seat, stream)) => Ok(Call::new(record, created, choices, stream, seat)),
            Err(error) => {
                // The engine has not begun, so there is nothing to settle and to wait for.
                drop(record.fail(&error));
                Err(error)
            }
        }
    }

    async fn start(
        &self,
        record: &mut CallRecord,
        caller: &Caller,
        model: &Arc<CatalogueModel>,
        request: ChatRequest,
    ) -> Result<(Seat, ChatStream), GatewayError> {
        let entry = self.0.meter.begin(caller, model).await?;
        check_features(model, &request)?;
        let loaded = self
            .0
            .routes
            .of_model(model.id.as_str())
            .ok_or(GatewayError::NotLoaded)?;
        let seat = loaded.seat().ok_or(GatewayError::Overloaded)?;
        let prepared = seat.engine().prepare(within_context(model, request)).await?;
        let likely = Units {
            prompt_tokens: prepared.prompt_tokens().get().into(),
            completion_tokens: prepared.completion_limit().get().into(),
            ..Units::default()
        };
        let most = Units {
            prompt_tokens: prepared.prompt_limit().get().into(),
            ..likely
        };
        record.reserved(entry.reserve(record.facts(), likely, most, None).await?);
        let stream = prepared.start().await?;
        Ok((seat, stream))
    }
}

/// Refuses what the catalogue says the model cannot do, before the engine sees it.
fn check_features(model: &CatalogueModel, request: &ChatRequest) -> Result<(), GatewayError> {
    let tools = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
    let needs = [
        (tools, ModelFeature::Tools, Feature::Tools),
        (
            matches!(request.continuation, Continuation::Prefix(_)),
            ModelFeature::Prefix,
            Feature::Prefix,
        ),
        (
            matches!(request.continuation, Continuation::FillInMiddle { .. }),
            ModelFeature::Fim,
            Feature::FillInMiddle,
        ),
        (
            request.thinking.enabled.is_some(),
            ModelFeature::Reasoning,
            Feature::Thinking,
        ),
    ];
    match needs
        .into_iter()
        .find(|(needed, feature, _)| *needed && !model.features.contains(feature))
    {
        Some((_, _, feature)) => Err(GatewayError::Unsupported(feature)),
        None => Ok(()),
    }
}

/// Cuts `max_tokens` to the model's context: clients send "as much as you can" as a large number.
fn within_context(model: &CatalogueModel, mut request: ChatRequest) -> ChatRequest {
    if let Some(context) = model.context_length {
        request.max_tokens = request.max_tokens.min(TokenCount(context.max(1)));
    }
    request
}
