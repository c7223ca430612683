//! Drives the core's drainer: sends what it says, waits as long as it says, tells it what came.

use core::time::Duration;

use mcp_reporter_core::{
    drain::{Answer, Delivery, Note, Outgoing, Step},
    edge::EVENTS_PATH,
    settings::Settings,
    store::StoreError,
    text::answer_text,
};

use crate::{
    clock,
    coordinator::authorization,
    flight::Flight,
    http::{Call, Exchange, Method, Outcome},
    instance::Instance,
    log::{Level, log},
    prelude::*,
};

/// The same as [`deliver`] where a call keeps a place that others wait for: waits for no backoff.
pub fn deliver_briefly(instance: &mut Instance, budget: Duration) -> Result<Delivery, StoreError> {
    instance.drainer.set_brief(true);
    let result = deliver(instance, budget);
    instance.drainer.set_brief(false);
    result
}

/// Sends what is due, for at most `budget`.
pub fn deliver(instance: &mut Instance, budget: Duration) -> Result<Delivery, StoreError> {
    let result = drive(instance, budget);
    for note in instance.drainer.take_notes() {
        match note {
            Note::Info(text) => log(Level::Info, &text),
            Note::Warn(text) => log(Level::Warn, &text),
        }
    }
    result
}

fn drive(instance: &mut Instance, budget: Duration) -> Result<Delivery, StoreError> {
    let Instance {
        settings,
        store,
        random,
        drainer,
        ..
    } = instance;
    if let Some(idle) = drainer.begin(store, random, clock::now(), budget)? {
        return Ok(idle);
    }
    let mut flight = Flight::new();
    loop {
        match drainer.poll(store, random, clock::now())? {
            Step::Done(delivery) => return Ok(delivery),
            Step::Send(outgoing) => {
                let token = outgoing.token;
                match start(settings, outgoing) {
                    Ok(exchange) => flight.add(token, exchange),
                    Err(outcome) => drainer.answered(
                        token,
                        answer(outcome, settings.api_key.expose()),
                        clock::now(),
                    ),
                }
            }
            Step::Wait { until_mono_ns } => {
                for (token, outcome) in flight.wait(until_mono_ns) {
                    drainer.answered(
                        token,
                        answer(outcome, settings.api_key.expose()),
                        clock::now(),
                    );
                }
            }
        }
    }
}

fn start(settings: &Settings, outgoing: Outgoing) -> Result<Exchange, Outcome> {
    let mut headers = vec![
        authorization(settings),
        (String::from("content-type"), b"application/json".to_vec()),
        // A structured-field string: quoted, as the IETF draft has it.
        (
            String::from("idempotency-key"),
            ["\"", &outgoing.idempotency_key, "\""]
                .concat()
                .into_bytes(),
        ),
    ];
    if !outgoing.traceparent.is_empty() {
        headers.push((
            String::from("traceparent"),
            outgoing.traceparent.into_bytes(),
        ));
    }
    let call = Call {
        method: Method::Post,
        path: EVENTS_PATH,
        headers,
        body: outgoing.body,
    };
    Exchange::start(&settings.endpoint, call, outgoing.deadline_mono_ns)
}

fn answer(outcome: Outcome, key: &str) -> Answer {
    match outcome {
        Outcome::Answered(response) => Answer::Status {
            code: response.status,
            retry_after: response.retry_after,
            body: answer_text(&response.body, key),
        },
        Outcome::Failed(why) => Answer::Failed(why),
        Outcome::Denied(why) => Answer::Denied(why),
        Outcome::TimedOut => Answer::TimedOut,
    }
}
