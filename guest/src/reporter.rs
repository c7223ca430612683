//! The export `reporter`: takes reports in.

use mcp_reporter_core::{
    accept::Refusal,
    event::{self, Report},
    store::Random as _,
};

use crate::{
    Component,
    bindings::{
        Failure,
        reporter::{Action, Guest, InteractionReport, Outcome},
    },
    clock, delivery,
    instance::{self, Instance},
    log::{Level, log},
    prelude::*,
    random::Pool,
};

impl Guest for Component {
    fn report_start(interaction_id: String, data: String) -> Result<Outcome, Failure> {
        report_one(event::Action::Start, &interaction_id, &data)
    }

    fn report_progress(interaction_id: String, data: String) -> Result<Outcome, Failure> {
        report_one(event::Action::Progress, &interaction_id, &data)
    }

    fn report_complete(interaction_id: String, data: String) -> Result<Outcome, Failure> {
        report_one(event::Action::Complete, &interaction_id, &data)
    }

    fn report_error(interaction_id: String, data: String) -> Result<Outcome, Failure> {
        report_one(event::Action::Error, &interaction_id, &data)
    }

    fn report_many(reports: Vec<InteractionReport>) -> Vec<Result<Outcome, Failure>> {
        let borrowed: Vec<_> = reports.iter().map(borrow).collect();
        let same = match instance::enabled() {
            Ok(Some(mut instance)) => return report(&mut instance, &borrowed),
            Ok(None) => Ok(Outcome::Disabled),
            Err(failure) => Err(failure),
        };
        reports.iter().map(|_| same.clone()).collect()
    }

    fn new_interaction_id() -> String {
        event::new_interaction_id(clock::now().wall_ns, Pool::default().number() as u32)
    }
}

fn report_one(action: event::Action, interaction_id: &str, data: &str) -> Result<Outcome, Failure> {
    let Some(mut instance) = instance::enabled()? else {
        return Ok(Outcome::Disabled);
    };
    let one = Report {
        action,
        interaction_id,
        data,
        timestamp_ns: None,
        mcp_id: None,
        idempotency_key: None,
        traceparent: None,
    };
    let mut results = report(&mut instance, &[one]);
    results.pop().unwrap_or(Ok(Outcome::Queued))
}

fn report(instance: &mut Instance, reports: &[Report<'_>]) -> Vec<Result<Outcome, Failure>> {
    let Instance {
        acceptor,
        store,
        random,
        settings,
        ..
    } = instance;
    let accepted = acceptor.accept(store, random, clock::now(), reports);
    let mut outcome = Outcome::Queued;
    if settings.deliver_on_report && accepted.iter().any(Result::is_ok) {
        let budget = settings.report_budget;
        match delivery::deliver(instance, budget) {
            // An empty queue is the one thing that shows that these were sent.
            Ok(done)
                if done.next.is_none() && !done.lease_held_elsewhere && done.dead_lettered == 0 =>
            {
                outcome = Outcome::Delivered;
            }
            Ok(_) => {}
            // The report itself is stored.
            Err(error) => log(Level::Error, &["the store failed: ", &error.0].concat()),
        }
    }
    let results = accepted.into_iter();
    results
        .map(|result| result.map(|()| outcome).map_err(refuse))
        .collect()
}

fn refuse(refusal: Refusal) -> Failure {
    let text = refusal.message();
    match refusal {
        Refusal::Invalid(_) => Failure::InvalidInput(text),
        Refusal::Full(_) => Failure::OutboxFull(text),
        Refusal::Storage(_) => Failure::Storage(text),
    }
}

fn borrow(report: &InteractionReport) -> Report<'_> {
    Report {
        action: match report.action {
            Action::Start => event::Action::Start,
            Action::Progress => event::Action::Progress,
            Action::Complete => event::Action::Complete,
            Action::Error => event::Action::Error,
        },
        interaction_id: &report.interaction_id,
        data: &report.data,
        timestamp_ns: report.timestamp_ns,
        mcp_id: report.mcp_id.as_deref(),
        idempotency_key: report.idempotency_key.as_deref(),
        traceparent: report.traceparent.as_deref(),
    }
}
