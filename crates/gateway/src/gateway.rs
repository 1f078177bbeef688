//! The gateway itself: deployments in, calls through.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use silica_engine::ChatRequest;
use silica_platform::{
    CallFacts, Caller, Catalogue, CatalogueModel, Deployment, Meter, ModelStatus, Platform, SubType,
};
use silica_types::{RequestId, SharedClock, TraceId};

use crate::failures::Failures;
use crate::health::Checks;
use crate::model_meters::AllModelMeters;
use crate::record::{CallRecord, Delivery};
use crate::registry::Registry;
use crate::replica::{Loaded, ReplicaSeed};
use crate::routes::Routes;
use crate::{
    Admitted, Call, CallKind, CallSink, DeployError, EngineLoader, GatewayError, HealthOptions, Moderation,
    ReplicaState, error_chain,
};

/// Routes calls to engines. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    platform: Platform,
    meter: Meter,
    loader: Arc<dyn EngineLoader>,
    clock: SharedClock,
    registry: Registry,
    checks: Checks,
    routes: Routes,
    failures: Failures,
    meters: AllModelMeters,
    /// Who wants to hear of calls that are over.
    sink: OnceLock<Arc<dyn CallSink>>,
    /// What judges texts, if something does.
    moderation: OnceLock<Arc<Moderation>>,
    /// Held from the look at the catalogue to the change of the routes that follows from it.
    changing: Mutex<()>,
}

/// A deployment whose engines are loaded but which answers no calls yet. Dropping it unloads the
/// engines that nothing else uses.
#[must_use = "a prepared deployment answers calls only after Gateway::commit"]
pub struct Prepared(Arc<Loaded>);

impl Gateway {
    /// Makes a gateway without routes that asks engines elsewhere for their health as usual; see
    /// [`Gateway::reconcile`].
    pub fn new(platform: Platform, meter: Meter, loader: Arc<dyn EngineLoader>, clock: SharedClock) -> Self {
        Self::with_health(platform, meter, loader, clock, HealthOptions::default())
    }

    /// As [`Gateway::new`], with other health checks.
    pub fn with_health(
        platform: Platform,
        meter: Meter,
        loader: Arc<dyn EngineLoader>,
        clock: SharedClock,
        health: HealthOptions,
    ) -> Self {
        let (registry, routes) = (Registry::default(), Routes::default());
        Self(Arc::new(Inner {
            platform,
            meter,
            loader,
            clock,
            registry,
            checks: Checks::new(health),
            routes,
            failures: Failures::default(),
            meters: AllModelMeters::default(),
            sink: OnceLock::new(),
            moderation: OnceLock::new(),
            changing: Mutex::default(),
        }))
    }

    /// Hands the summaries of calls to a sink from now on. Only the first one is taken.
    pub fn watch_calls(&self, sink: Arc<dyn CallSink>) {
        let _ = self.0.sink.set(sink);
    }

    /// Judges what goes in and comes out from now on. Only the first one is taken.
    pub fn moderate(&self, moderation: Moderation) {
        let _ = self.0.moderation.set(Arc::new(moderation));
    }

    /// What judges texts, if something does.
    pub fn moderation(&self) -> Option<&Arc<Moderation>> {
        self.0.moderation.get()
    }

    /// Loads the engines of a deployment without putting it in force. Engines that run already
    /// for an equal replica of the same deployment are shared, not loaded again.
    ///
    /// # Errors
    /// When an engine cannot be loaded; the ones loaded before it are dropped.
    pub async fn prepare(&self, deployment: &Deployment) -> Result<Prepared, DeployError> {
        let catalogue = self.0.platform.catalogue();
        let mut models = deployment.models.iter();
        let sub_type = models.find_map(|model| Some(catalogue.model(model.as_str())?.sub_type));
        self.prepare_for(deployment, sub_type).await
    }

    /// As [`Gateway::prepare`], for models that the catalogue does not have yet.
    ///
    /// # Errors
    /// As [`Gateway::prepare`].
    pub async fn prepare_for(
        &self,
        deployment: &Deployment,
        sub_type: Option<SubType>,
    ) -> Result<Prepared, DeployError> {
        let mut replicas = Vec::with_capacity(deployment.replicas.len());
        for (position, spec) in deployment.replicas.iter().enumerate() {
            let loaded = self
                .0
                .registry
                .load(
                    &*self.0.loader,
                    &self.0.checks,
                    (deployment, sub_type),
                    position,
                    spec,
                )
                .await;
            let (slot, engines) = loaded.map_err(|source| DeployError {
                deployment: deployment.name.clone(),
                replica: position,
                source,
            })?;
            replicas.push(ReplicaSeed { engines, slot });
        }
        Ok(Prepared(Arc::new(Loaded::new(deployment.clone(), replicas))))
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
        if let Some(before) = self.0.routes.put(&loaded, &catalogue) {
            before.hide();
        }
        loaded.show();
        self.0.failures.forget(name);
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
        let catalogue = self.0.platform.catalogue();
        if catalogue.deployment(deployment).is_none() {
            self.drop_routes(&catalogue, |name| name != deployment);
        }
    }

    /// Keeps the deployments that `keep` names. The caller holds the lock of [`Gateway::change`].
    fn drop_routes(&self, catalogue: &Catalogue, keep: impl Fn(&str) -> bool) {
        for dropped in self.0.routes.retain(catalogue, keep) {
            dropped.hide();
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
            let error = match self.prepare(deployment).await {
                Ok(prepared) => {
                    self.commit(prepared);
                    continue;
                }
                Err(error) => error,
            };
            self.0.failures.note(deployment, &error);
            if first_error.is_none() {
                first_error = Some(error);
            } else {
                tracing::error!(error = %error_chain(&error), "deployment cannot be loaded");
            }
        }
        self.drop_what_is_gone();
        first_error.map_or(Ok(()), Err)
    }

    fn drop_what_is_gone(&self) {
        let _in_order = self.change();
        let catalogue = self.0.platform.catalogue();
        self.drop_routes(&catalogue, |name| catalogue.deployment(name).is_some());
        self.0
            .failures
            .retain(|name| catalogue.deployment(name).is_some());
    }

    /// How the replicas of a deployment are doing, by position; `None` when the deployment is not in
    /// force as it is given.
    pub fn replica_states(&self, deployment: &Deployment) -> Option<Vec<ReplicaState>> {
        let loaded = self.0.routes.of_deployment(&deployment.name)?;
        loaded.serves(deployment).then(|| loaded.states())
    }

    /// Why a deployment could not be loaded as it is given, in one line; `None` when it was, or was not
    /// tried yet.
    pub fn load_failure(&self, deployment: &Deployment) -> Option<String> {
        self.0.failures.of(deployment)
    }

    /// Ends the health checks and waits for that. Calls go on.
    pub async fn close(&self) {
        self.0.checks.close().await;
    }

    /// Whether every deployment of the catalogue has its engines.
    pub fn is_ready(&self) -> bool {
        let catalogue = self.0.platform.catalogue();
        catalogue
            .deployments()
            .iter()
            .all(|deployment| self.0.routes.of_deployment(&deployment.name).is_some())
    }

    /// Finds a model of a kind that may be called.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`] and [`GatewayError::ModelDisabled`].
    pub fn model(&self, name: &str, kind: SubType) -> Result<Arc<CatalogueModel>, GatewayError> {
        let catalogue = self.0.platform.catalogue();
        let model = catalogue
            .model(name)
            .filter(|model| model.sub_type == kind)
            .filter(|model| catalogue.deployment_of(model.id.as_str()).is_some())
            .ok_or(GatewayError::UnknownModel)?;
        match model.status {
            ModelStatus::Normal => Ok(Arc::clone(model)),
            ModelStatus::Disabled => Err(GatewayError::ModelDisabled),
        }
    }

    /// Counts a request for a model against the caller's limits and begins its account. What becomes
    /// of it after that counts, too: a request that turns out to be invalid is a failed request.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`] and [`GatewayError::ModelDisabled`], which nothing is counted
    /// for, and [`GatewayError::Refused`].
    pub async fn admit(
        &self,
        caller: &Caller,
        model: &str,
        kind: CallKind,
        trace: &TraceId,
    ) -> Result<Admitted, GatewayError> {
        let model = self.model(model, kind.sub_type())?;
        let facts = CallFacts {
            id: RequestId::new(&*self.0.clock),
            trace: trace.clone(),
            started_at: self.0.clock.now(),
        };
        let meters = self.0.meters.of(&model.id);
        let mut record = CallRecord::begin(facts, kind, caller, meters);
        record.watch(self.0.sink.get());
        match self.0.meter.begin(caller, &model).await {
            Ok(entry) => Ok(Admitted::new(self.clone(), model, entry, record)),
            Err(refusal) => {
                let error = GatewayError::from(refusal);
                // Nothing was reserved, so there is no settlement to wait for.
                drop(record.fail(&error));
                Err(error)
            }
        }
    }

    /// Admits a request and starts its chat at once.
    ///
    /// # Errors
    /// As [`Gateway::admit`] and [`Admitted::chat`].
    pub async fn chat(
        &self,
        caller: &Caller,
        model: &str,
        trace: &TraceId,
        request: ChatRequest,
        delivery: Delivery,
    ) -> Result<Call, GatewayError> {
        self.admit(caller, model, CallKind::Chat, trace)
            .await?
            .chat(request, delivery)
            .await
    }

    /// The engines that answer for a model.
    pub(crate) fn engines_of(&self, model: &CatalogueModel) -> Result<Arc<Loaded>, GatewayError> {
        self.0
            .routes
            .of_model(model.id.as_str())
            .ok_or(GatewayError::NotLoaded)
    }

    /// The engines of a deployment, if they are loaded.
    pub(crate) fn engines_of_deployment(&self, name: &str) -> Option<Arc<Loaded>> {
        self.0.routes.of_deployment(name)
    }
}
