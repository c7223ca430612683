//! The tracker: messages in, with direction and time; reports out.
//!
//! An interaction opens with a request, and ends exactly once: with its answer, with a cancel, or
//! with whatever ends its connection. Between the two it may change its name. An answer that asks
//! for input is followed by the same request under a new id, told by its `requestState`; an answer
//! that is a task is followed by that task's status, wherever it is seen. Both eras of the protocol
//! are understood at once, message by message: a session may begin in one and fall back to the
//! other.

mod message;
mod open;
mod payload;
mod seen;
mod settings;
mod trace;

pub use seen::{Channel, Direction, End, NoProcess, Process, Report};
pub use settings::{Body, CaptureSettings, Method, Transport};

use crate::performance::PerformanceMetrics;
use crate::privacy::{Redactor, public_uri};
use mcp_reporter_event::event::{Action, new_interaction_id};
use message::{Id, Message, Meta, Outcome, Params, RpcError, Task, read, text};
use open::{Fate, Interaction, Key, Open};
use payload::{Kind, json};
use serde_json::value::RawValue;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use trace::is_traceparent;

/// Requests that open no interaction and whose answers tell something, at most so many at once.
const MOST_QUESTIONS: usize = 1024;

/// Channels of which something is known, at most.
const MOST_CHANNELS: usize = 20_000;

/// Progress that is held back with an interaction that may not be reported.
const HELD_REPORTS: usize = 32;

/// What a peer was asked that is no interaction.
#[derive(Debug, Clone)]
enum Question {
    Handshake,
    /// The task whose status or result the answer is, where that says not which.
    Task(Option<String>),
    TaskResult(Option<String>),
}

/// What is known of a channel.
#[derive(Debug, Default)]
struct Known {
    session: Option<String>,
    protocol: Option<String>,
    server: Option<String>,
}

/// Follows the messages between clients and servers.
pub struct Tracker<P> {
    settings: CaptureSettings,
    process: P,
    redactor: Redactor,
    reports: VecDeque<Report>,
    open: Open,
    questions: HashMap<Key, Question>,
    asked: VecDeque<Key>,
    channels: HashMap<Channel, Known>,
    /// The server's name where a channel has not told it: all are channels to one server.
    server: Option<String>,
    last_ns: u64,
    seed: u64,
    evicted: u64,
}

impl<P> std::fmt::Debug for Tracker<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tracker({} open)", self.open.len())
    }
}

/// Why an interaction failed.
struct Why<'a> {
    kind: &'a str,
    meaning: &'a str,
    code: Option<i64>,
    /// `rpc.response.status_code`.
    status: Option<String>,
    said: Option<&'a str>,
}

impl<'a> Why<'a> {
    fn new(kind: &'a str, meaning: &'a str) -> Self {
        Self {
            kind,
            meaning,
            code: None,
            status: None,
            said: None,
        }
    }

    fn of_end(end: End) -> Self {
        match end {
            End::ServerExited(code) => Self {
                code: Some(code.into()),
                ..Self::new(
                    "server_exited",
                    "the server's process ended before it answered",
                )
            },
            End::ConnectionLost => {
                Self::new("connection_lost", "the connection ended before the answer")
            }
            End::NoResult => Self::new("no_result", "the answer's stream ended without a result"),
            End::ClientCancelled => Self::new("cancelled", "the client cancelled the request"),
            End::HttpStatus(status) => Self {
                code: Some(status.into()),
                ..Self::new("http_error", "the server answered with an HTTP error")
            },
        }
    }
}

impl<P: Process> Tracker<P> {
    /// One that has seen nothing. `seed` makes interaction ids unlikely to repeat.
    pub fn new(settings: CaptureSettings, process: P, seed: u64) -> Self {
        Self {
            redactor: Redactor::new(&settings.redact, settings.max_field_bytes),
            settings,
            process,
            reports: VecDeque::new(),
            open: Open::default(),
            questions: HashMap::new(),
            asked: VecDeque::new(),
            channels: HashMap::new(),
            server: None,
            last_ns: 0,
            seed,
            evicted: 0,
        }
    }

    /// Takes a message, or a batch of them: one line of stdio, one body or one event of HTTP.
    /// What is not JSON-RPC is passed over. A time before an earlier one counts as that.
    pub fn message(&mut self, channel: Channel, direction: Direction, now_ns: u64, message: &[u8]) {
        let now = self.now(now_ns);
        // A peer may read what is not quite UTF-8, and its request would stay open here.
        let text = String::from_utf8_lossy(message);
        for message in message::messages(&text) {
            // What a person answers to an elicitation is as secret as an argument, and comes back
            // in the result as well.
            if let (None, Direction::ToServer, Some(given)) =
                (&message.method, direction, message.result)
            {
                self.learn_of(channel, given);
            }
            match (&message.method, message.id.and_then(Id::parse)) {
                (Some(_), Some(id)) => self.request((channel, direction, id), now, &message),
                (Some(_), None) => self.notification(channel, direction, now, &message),
                (None, Some(id)) => self.answer((channel, direction.back(), id), now, &message),
                // An error of which nobody knows what it is about.
                (None, None) => {}
            }
        }
    }

    /// Gives the channel's session a name (`MCP-Session-Id`).
    pub fn session(&mut self, channel: Channel, id: &str) {
        let id = self.redactor.text(id);
        if let Some(known) = self.known(channel) {
            known.session = Some(id);
        }
    }

    /// Ends what is open on a channel. Tasks, and what waits for a client's retry, go on.
    pub fn end(&mut self, channel: Channel, now_ns: u64, why: End) {
        let now = self.now(now_ns);
        for serial in self.open.unanswered(channel) {
            self.fail(serial, now, Why::of_end(why));
        }
        self.channels.remove(&channel);
    }

    /// Ends one request of the client, if it is open. `id` is its JSON.
    pub fn end_request(&mut self, channel: Channel, id: &str, now_ns: u64, why: End) {
        let now = self.now(now_ns);
        let id = serde_json::from_str::<&RawValue>(id)
            .ok()
            .and_then(Id::parse);
        if let Some(serial) =
            id.and_then(|id| self.open.by_request(&(channel, Direction::ToServer, id)))
        {
            self.fail(serial, now, Why::of_end(why));
        }
    }

    /// Ends all that is open, tasks as well.
    pub fn end_all(&mut self, now_ns: u64, why: End) {
        let now = self.now(now_ns);
        while let Some(serial) = self.open.oldest() {
            self.fail(serial, now, Why::of_end(why));
        }
    }

    /// The next report, oldest first.
    pub fn next_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Interactions closed because too many were open.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Interactions that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn now(&mut self, now_ns: u64) -> u64 {
        self.last_ns = self.last_ns.max(now_ns);
        self.last_ns
    }

    fn known(&mut self, channel: Channel) -> Option<&mut Known> {
        if self.channels.len() >= MOST_CHANNELS && !self.channels.contains_key(&channel) {
            return None;
        }
        Some(self.channels.entry(channel).or_default())
    }

    fn request(&mut self, key: Key, now: u64, message: &Message<'_>) {
        let method = message.method.as_deref().unwrap_or_default();
        let params = || read::<Params<'_>>(message.params);
        if let Some(kind) = Kind::of(method, &self.settings) {
            self.begin(key, now, kind, method, message.params);
            return;
        }
        let question = match method {
            "initialize" | "server/discover" => Question::Handshake,
            "tasks/update" => {
                // What a task asked for: as secret as an argument.
                if let Some(given) = params().input_responses {
                    self.learn_of(key.0, given);
                }
                return;
            }
            "tasks/get" | "tasks/cancel" => Question::Task(text(params().task_id).map(Into::into)),
            "tasks/list" => Question::Task(None),
            "tasks/result" => Question::TaskResult(text(params().task_id).map(Into::into)),
            "sampling/createMessage" | "elicitation/create" if key.1 == Direction::ToClient => {
                let kind = if method.starts_with("sampling") {
                    "sampling"
                } else {
                    "elicitation"
                };
                self.asked_for(key.0, now, kind, params().meta);
                return;
            }
            _ => return,
        };
        self.ask(key, question);
    }

    fn ask(&mut self, key: Key, question: Question) {
        if self.asked.len() == MOST_QUESTIONS
            && let Some(oldest) = self.asked.pop_front()
        {
            self.questions.remove(&oldest);
        }
        self.asked.push_back(key.clone());
        self.questions.insert(key, question);
    }

    fn begin(&mut self, key: Key, now: u64, kind: Kind, method: &str, raw: Option<&RawValue>) {
        let params: Params<'_> = read(raw);
        let meta: Meta<'_> = read(params.meta);
        let token = meta
            .progress_token
            .and_then(Id::parse)
            .map(|token| (key.0, key.1, token));
        let given = match kind {
            Kind::Other => [raw, None],
            _ => [params.arguments, params.input_responses],
        };
        let mut withheld = false;
        for given in given.into_iter().flatten() {
            withheld |= !self.redactor.learn(given.get());
        }
        // Whoever reuses the id of a request has given that one up.
        if let Some(serial) = self.open.by_request(&key) {
            let why = Why::new(
                "replaced",
                "another request took its id before it was answered",
            );
            self.fail(serial, now, why);
        }
        if let Some(serial) =
            text(params.request_state).and_then(|state| self.open.take_by_state(&state))
        {
            self.open.continue_as(serial, key, token);
            if let Some(open) = self.open.get(serial) {
                open.withheld |= withheld;
            }
            return;
        }
        if self.open.len() >= self.settings.max_open.max(1)
            && let Some(oldest) = self.open.oldest()
        {
            self.evicted += 1;
            self.fail(
                oldest,
                now,
                Why::new("evicted", "too many interactions were open at once"),
            );
        }
        let random = self.random();
        let fate = if (random >> 11) as f64 / (1_u64 << 53) as f64 >= self.settings.sampling {
            if self.settings.keep_errors {
                Fate::Held(Vec::new())
            } else {
                Fate::NotReported
            }
        } else {
            Fate::Reported
        };
        let id = new_interaction_id(now, random as u32);
        let traceparent = text(meta.traceparent).filter(|text| is_traceparent(text));
        let data = match fate {
            Fate::NotReported => String::new(),
            _ => self.request_data(&key, kind, method, raw, &params, &meta),
        };
        let interaction = Interaction {
            id,
            kind,
            began_ns: now,
            usage: self.process.usage(),
            traceparent: traceparent.map(Into::into),
            fate,
            channel: key.0,
            tokens: token.into_iter().collect(),
            request: Some(key),
            task: None,
            task_status: None,
            state: None,
            withheld,
        };
        let serial = self.open.insert(interaction);
        self.report(serial, Action::Start, now, data);
    }

    fn request_data(
        &mut self,
        key: &Key,
        kind: Kind,
        method: &str,
        raw: Option<&RawValue>,
        params: &Params<'_>,
        meta: &Meta<'_>,
    ) -> String {
        let captured = matches!(self.settings.body, Body::Arguments | Body::All);
        let given = match kind {
            Kind::Tool | Kind::Prompt => params.arguments,
            Kind::Resource => None,
            Kind::Other => raw,
        };
        let mut parameters = serde_json::json!({});
        if let (true, Some(given)) = (captured, given) {
            parameters = self.redactor.value(given.get());
        }
        let redactor = &self.redactor;
        let name = |wanted| {
            let name = text(params.name).filter(|_| kind == wanted);
            name.map(|name| redactor.text(&name))
        };
        let user = self.settings.user_id.clone();
        let known = self.channels.get(&key.0);
        let protocol = text(meta.protocol_version).map(|version| redactor.text(&version));
        json(&payload::Request {
            user_id: user.or_else(|| text(meta.user_id).map(|user| redactor.text(&user))),
            request_type: method,
            input_size: raw.map_or(0, |raw| raw.get().len()),
            method,
            session: known.and_then(|known| known.session.as_deref()),
            protocol: protocol.or_else(|| known.and_then(|known| known.protocol.clone())),
            uri: match kind {
                Kind::Resource => text(params.uri).map(|uri| public_uri(&uri, redactor)),
                _ => None,
            },
            tool: name(Kind::Tool),
            prompt: name(Kind::Prompt),
            operation: (kind == Kind::Tool).then_some("execute_tool"),
            arguments: (captured && kind == Kind::Tool).then(|| parameters.clone()),
            id: &redactor.text(key.2.text()),
            transport: self.settings.transport.name(),
            parameters,
        })
    }

    fn notification(
        &mut self,
        channel: Channel,
        direction: Direction,
        now: u64,
        message: &Message<'_>,
    ) {
        let params: Params<'_> = read(message.params);
        match message.method.as_deref().unwrap_or_default() {
            "notifications/progress" => {
                let Some(token) = params.progress_token.and_then(Id::parse) else {
                    return;
                };
                let key = (channel, direction.back(), token);
                if let Some(serial) = self.open.by_token(&key) {
                    let said = text(params.message);
                    let withheld = self.open.get(serial).is_some_and(|open| open.withheld);
                    let (message, message_size) = self.said(said.as_deref(), withheld);
                    let data = payload::Progress {
                        progress_type: "progress",
                        progress: message::number(params.progress),
                        total: message::number(params.total),
                        message,
                        message_size,
                        ..payload::Progress::default()
                    };
                    self.report(serial, Action::Progress, now, json(&data));
                }
            }
            "notifications/cancelled" => {
                let Some(id) = params.request_id.and_then(Id::parse) else {
                    return;
                };
                if let Some(serial) = self.open.by_request(&(channel, direction, id)) {
                    let reason = text(params.reason);
                    let why = Why::of_end(End::ClientCancelled);
                    self.fail(
                        serial,
                        now,
                        Why {
                            said: reason.as_deref(),
                            ..why
                        },
                    );
                }
            }
            "notifications/tasks/status" | "notifications/tasks" => {
                self.task(message.params, None, now);
            }
            _ => {}
        }
    }

    fn answer(&mut self, key: Key, now: u64, message: &Message<'_>) {
        if let Some(serial) = self.open.by_request(&key) {
            self.ends(serial, now, message);
            return;
        }
        let Some(question) = self.questions.remove(&key) else {
            // Late: it was cancelled, or it is of no interest.
            return;
        };
        self.asked.retain(|asked| *asked != key);
        match question {
            Question::Handshake => self.handshake(key.0, message.result),
            Question::Task(task) => {
                let outcome: Outcome<'_> = read(message.result);
                let list: Option<Vec<&RawValue>> = outcome
                    .tasks
                    .and_then(|raw| serde_json::from_str(raw.get()).ok());
                match list {
                    Some(list) => {
                        for entry in list {
                            self.task(Some(entry), None, now);
                        }
                    }
                    None => self.task(message.result, task.as_deref(), now),
                }
            }
            Question::TaskResult(task) => {
                if let Some(serial) = task.and_then(|task| self.open.by_task(&task)) {
                    self.ends(serial, now, message);
                }
            }
        }
    }

    fn handshake(&mut self, channel: Channel, result: Option<&RawValue>) {
        let outcome: Outcome<'_> = read(result);
        let meta: Meta<'_> = read(outcome.meta);
        let server = message::name(outcome.server_info.or(meta.server_info));
        let server = server.map(|name| self.redactor.text(&name));
        let protocol = text(outcome.protocol_version).map(|version| self.redactor.text(&version));
        if server.is_some() {
            self.server.clone_from(&server);
        }
        if let Some(known) = self.known(channel) {
            known.server = server.or(known.server.take());
            known.protocol = protocol.or(known.protocol.take());
        }
    }

    /// The answer to an interaction's request, or to the question for its task's result.
    fn ends(&mut self, serial: u64, now: u64, message: &Message<'_>) {
        if let Some(raw) = message.error {
            self.rpc_error(serial, now, raw);
            return;
        }
        let outcome: Outcome<'_> = read(message.result);
        let meta: Meta<'_> = read(outcome.meta);
        if let Some(name) = message::name(meta.server_info) {
            self.server = Some(self.redactor.text(&name));
        }
        let kind = text(outcome.result_type);
        if kind.as_deref() == Some("input_required")
            && let Some(state) = text(outcome.request_state)
        {
            self.input_required(serial, now, state.into_owned(), outcome.input_requests);
            return;
        }
        let task = match kind.as_deref() {
            Some("task") => message.result,
            _ => outcome.task,
        };
        if let Some(id) = text(read::<Task<'_>>(task).id) {
            if self
                .open
                .get(serial)
                .is_some_and(|open| open.task.is_none())
            {
                self.open.becomes_task(serial, id.into_owned());
                self.task(task, None, now);
            }
            return;
        }
        self.result(serial, now, message.result, &outcome);
    }

    fn result(&mut self, serial: u64, now: u64, raw: Option<&RawValue>, outcome: &Outcome<'_>) {
        if outcome.is_error.is_some_and(|raw| raw.get() == "true") {
            let content = outcome.content.map(|raw| raw.get());
            let why = Why::new("tool_error", "the tool reported an error");
            self.fail(
                serial,
                now,
                Why {
                    said: content,
                    ..why
                },
            );
        } else {
            self.complete(serial, now, raw);
        }
    }

    fn rpc_error(&mut self, serial: u64, now: u64, raw: &RawValue) {
        let error: RpcError<'_> = read(Some(raw));
        let code = message::number(error.code);
        let said = text(error.message);
        let why = Why {
            code: code.as_ref().and_then(serde_json::Number::as_i64),
            status: code.map(|code| code.to_string()),
            said: said.as_deref(),
            ..Why::new("jsonrpc_error", "the server answered with an error")
        };
        self.fail(serial, now, why);
    }

    fn input_required(&mut self, serial: u64, now: u64, state: String, asked: Option<&RawValue>) {
        let asked: HashMap<String, &RawValue> = read(asked);
        let data = payload::Progress {
            progress_type: "input_required",
            input_requests: Some(asked.len()),
            ..payload::Progress::default()
        };
        self.open.waits_for(serial, state);
        self.report(serial, Action::Progress, now, json(&data));
    }

    /// The client is asked for something while an interaction runs.
    fn asked_for(
        &mut self,
        channel: Channel,
        now: u64,
        kind: &'static str,
        meta: Option<&RawValue>,
    ) {
        let meta: Meta<'_> = read(meta);
        let task: Task<'_> = read(meta.related_task);
        let serial = match text(task.id) {
            Some(task) => self.open.by_task(&task),
            // Of several nobody can say which of them asks.
            None => match self.open.unanswered(channel)[..] {
                [one] => Some(one),
                _ => None,
            },
        };
        if let Some(serial) = serial {
            let data = payload::Progress {
                progress_type: kind,
                ..payload::Progress::default()
            };
            self.report(serial, Action::Progress, now, json(&data));
        }
    }

    /// A task's state, wherever it is seen. `asked` is its id where it does not say it itself.
    fn task(&mut self, raw: Option<&RawValue>, asked: Option<&str>, now: u64) {
        let task: Task<'_> = read(raw);
        let id = text(task.id).or(asked.map(Into::into));
        let Some(serial) = id.as_deref().and_then(|id| self.open.by_task(id)) else {
            return;
        };
        let status = text(task.status).unwrap_or_default();
        let said = text(task.status_message);
        match status.as_ref() {
            "completed" => {
                let outcome: Outcome<'_> = read(task.result);
                self.result(serial, now, task.result, &outcome);
            }
            "failed" | "cancelled" => match task.error {
                Some(error) if status == "failed" => self.rpc_error(serial, now, error),
                _ => {
                    let why = if status == "failed" {
                        Why::new("task_failed", "the task failed")
                    } else {
                        Why::new("cancelled", "the task was cancelled")
                    };
                    let said = said.as_deref();
                    self.fail(serial, now, Why { said, ..why });
                }
            },
            "" => {}
            _ => {
                let Some(open) = self.open.get(serial) else {
                    return;
                };
                if open.task_status.as_deref() == Some(&status) {
                    return;
                }
                open.task_status = Some(status.clone().into_owned());
                let withheld = open.withheld;
                let (message, message_size) = self.said(said.as_deref(), withheld);
                let data = payload::Progress {
                    progress_type: "task",
                    task_id: id.map(|id| self.redactor.text(&id)),
                    status: Some(self.redactor.text(&status)),
                    message,
                    message_size,
                    ..payload::Progress::default()
                };
                self.report(serial, Action::Progress, now, json(&data));
            }
        }
    }

    /// Learns what was given while calls run, of which it is not known to which it belongs.
    fn learn_of(&mut self, channel: Channel, given: &RawValue) {
        if !self.redactor.learn(given.get()) {
            for serial in self.open.all_on(channel) {
                if let Some(open) = self.open.get(serial) {
                    open.withheld = true;
                }
            }
        }
    }

    /// What a peer said, if that is captured, and how much.
    fn said(&self, said: Option<&str>, withheld: bool) -> (Option<String>, Option<usize>) {
        let captured = !withheld && matches!(self.settings.body, Body::Results | Body::All);
        let text = said
            .filter(|_| captured)
            .map(|said| self.redactor.text(said));
        (text, said.map(str::len))
    }

    fn server_of(&self, interaction: &Interaction) -> Option<String> {
        let known = self.channels.get(&interaction.channel);
        known
            .and_then(|known| known.server.clone())
            .or_else(|| self.server.clone())
    }

    fn performance(&mut self, interaction: &Interaction, now: u64) -> Option<PerformanceMetrics> {
        let [took, finished] =
            [now.saturating_sub(interaction.began_ns), now].map(Duration::from_nanos);
        let (before, after) = (interaction.usage?, self.process.usage()?);
        Some(PerformanceMetrics::new(took, finished, before, after))
    }

    fn complete(&mut self, serial: u64, now: u64, raw: Option<&RawValue>) {
        let Some(interaction) = self.open.remove(serial) else {
            return;
        };
        if !matches!(interaction.fate, Fate::Reported) {
            return;
        }
        let captured =
            !interaction.withheld && matches!(self.settings.body, Body::Results | Body::All);
        let result = raw
            .filter(|_| captured)
            .map(|raw| self.redactor.value(raw.get()));
        let (tool_result, result) = match interaction.kind {
            Kind::Tool => (result, None),
            _ => (None, result),
        };
        let data = json(&payload::Complete {
            success: true,
            output_size: raw.map(|raw| raw.get().len()),
            processing_time: payload::seconds(interaction.began_ns, now),
            quality_score: None,
            performance_metrics: self.performance(&interaction, now),
            adapter_used: self.server_of(&interaction).as_deref(),
            tool_result,
            result,
        });
        self.push(&interaction, Action::Complete, now, data);
    }

    fn fail(&mut self, serial: u64, now: u64, why: Why<'_>) {
        let Some(mut interaction) = self.open.remove(serial) else {
            return;
        };
        match std::mem::replace(&mut interaction.fate, Fate::Reported) {
            Fate::Reported => {}
            Fate::Held(held) => self.reports.extend(held),
            Fate::NotReported => return,
        }
        let (message, size) = self.said(why.said, interaction.withheld);
        let data = json(&payload::Failure {
            error_type: why.kind,
            error_message: message.as_deref().unwrap_or(why.meaning),
            error_code: why.code,
            performance_metrics: self.performance(&interaction, now),
            processing_time: payload::seconds(interaction.began_ns, now),
            adapter_used: self.server_of(&interaction).as_deref(),
            error_message_size: size,
            otel_type: why.status.as_deref().unwrap_or(why.kind),
            status_code: why.status.as_deref(),
        });
        self.push(&interaction, Action::Error, now, data);
    }

    fn report(&mut self, serial: u64, action: Action, now: u64, data: String) {
        let Some(interaction) = self.open.get(serial) else {
            return;
        };
        let report = Report {
            action,
            interaction_id: interaction.id.clone(),
            data,
            timestamp_ns: now,
            traceparent: interaction.traceparent.clone(),
        };
        match &mut interaction.fate {
            Fate::Reported => self.reports.push_back(report),
            Fate::Held(held) if held.len() <= HELD_REPORTS => held.push(report),
            _ => {}
        }
    }

    fn push(&mut self, interaction: &Interaction, action: Action, now: u64, data: String) {
        self.reports.push_back(Report {
            action,
            interaction_id: interaction.id.clone(),
            data,
            timestamp_ns: now,
            traceparent: interaction.traceparent.clone(),
        });
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
