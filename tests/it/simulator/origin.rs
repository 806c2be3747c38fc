//! The origin of the caches: the simulated database, and upstream APIs that fail with it.

use std::sync::Arc;

use chatchonk::cache::{LoadError, Loaded, Origin, Proof, ScopeName};

use serde_json::value::RawValue;

use super::data::{Data, Subject};
use super::database::Broken;
use super::instance::{Process, Who};

/// The origin as one process reaches it.
pub(super) struct Reached(pub Arc<Process>);

fn failed(_: Broken) -> LoadError {
    LoadError::Failed("the simulated database fails".into())
}

impl Origin for Reached {
    type Key = Subject;
    type Value = Data;

    fn scope(&self, subject: &Subject) -> Option<ScopeName> {
        subject.scope().map(|name| ScopeName::new(&name))
    }

    async fn load(&self, subject: &Subject) -> Result<Loaded<Data>, LoadError> {
        let process = &self.0;
        if !process.is_connected() {
            return Err(LoadError::NoOrigin);
        }
        let begun = process.world.now();
        let load = process.loads(*subject);
        let loaded =
            process.statement(Who::Load(*subject), |state, world| (state.load(*subject), world.now())).await;
        load.ends();
        let (value, seen) = loaded.map_err(failed)?;
        let value = value.ok_or_else(|| LoadError::Failed("the catalogue is empty".into()))?;
        process.read_version(*subject, value.version, begun, seen);
        Ok(Loaded { value, version: value.version })
    }

    async fn version(&self, subject: &Subject) -> Result<u64, LoadError> {
        if !self.0.is_connected() {
            return Err(LoadError::NoOrigin);
        }
        let call = self.0.calls(*subject, false);
        let version = self
            .0
            .statement(Who::Version(*subject), |state, _| state.version(*subject))
            .await
            .map_err(failed)?;
        call.ends();
        // The cache may ignore it: the start with an empty memory may be over.
        self.0.heard(*subject);
        Ok(version)
    }

    async fn proof(&self, subject: &Subject, shared_key: &str) -> Result<Proof, LoadError> {
        if !self.0.is_connected() {
            return Err(LoadError::NoOrigin);
        }
        let call = self.0.calls(*subject, false);
        let proof = self.0.statement(Who::Version(*subject), |state, _| {
            let version = state.version(*subject);
            Proof { version, digest: state.ledger.digest(shared_key, version) }
        });
        let proof = proof.await.map_err(failed)?;
        call.ends();
        self.0.heard(*subject);
        Ok(proof)
    }

    fn id(&self, subject: &Subject) -> String {
        match subject {
            Subject::Catalogue => "all".to_owned(),
            Subject::User(number) | Subject::Upstream(number) => number.to_string(),
        }
    }

    fn encode(&self, value: &Data) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(value).ok()
    }

    fn decode(&self, json: &str) -> Option<Data> {
        serde_json::from_str(json).ok()
    }

    fn weight(&self, _: &Data) -> u32 {
        100
    }
}
