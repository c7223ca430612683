//! Makes instances of the component, each for one thing.

use super::shares::{Claim, Fence, Shares};
use super::{ReportError, merge};
use crate::engine::{self, EngineError, Instance, OutboxStatus};
use crate::metrics::{DeadLetterCounter, Metrics};
use crate::store::Store;
use std::sync::Arc;

/// Makes instances of the component.
pub(super) struct Factory {
    pub(super) component: engine::Reporter,
    /// All of the outbox, and what is not in it.
    pub(super) store: Arc<dyn Store>,
    /// A view for each shard; the store itself where there is one.
    pub(super) shards: Vec<Arc<dyn Store>>,
    /// None where there is one shard, or no rate to share.
    pub(super) shares: Option<Arc<Shares>>,
    /// None unless they are served.
    pub(super) metrics: Option<Arc<Metrics>>,
}

impl std::fmt::Debug for Factory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Factory")
    }
}

impl Factory {
    pub(super) fn claim(&self, shard: usize) -> Option<Claim> {
        self.shares.clone().map(|shares| Claim::new(shares, shard))
    }

    /// One that answers questions about a shard.
    pub(super) async fn instance(&self, shard: usize) -> Result<Instance, EngineError> {
        self.component.instantiate(self.shards[shard].clone()).await
    }

    /// One that delivers a shard with the permits of this claim, and whose dead
    /// letters are counted.
    pub(super) async fn delivering(
        &self,
        shard: usize,
        claim: Option<&Claim>,
    ) -> Result<Instance, EngineError> {
        let mut store = self.shards[shard].clone();
        if let Some(metrics) = &self.metrics {
            store = Arc::new(DeadLetterCounter::new(store, metrics.clone()));
        }
        let Some(claim) = claim else {
            return self.component.instantiate(store).await;
        };
        let store = Arc::new(Fence::new(store, claim.fence()));
        let permits = ("rate_limit".to_owned(), claim.permits().to_string());
        self.component.with([permits]).instantiate(store).await
    }

    /// One that takes reports of a shard.
    pub(super) async fn accepting(&self, shard: usize) -> Result<Instance, EngineError> {
        self.component
            .instantiate_accepting(self.shards[shard].clone())
            .await
    }

    /// The state of all shards together.
    pub(super) async fn status(&self) -> Result<OutboxStatus, ReportError> {
        let mut all = Vec::new();
        for shard in 0..self.shards.len() {
            all.push(self.instance(shard).await?.status().await??);
        }
        Ok(merge::statuses(all))
    }
}
