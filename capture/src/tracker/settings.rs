//! What is reported, and how much of it.

/// How the messages travel, in the words of OpenTelemetry's `network.transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Standard input and output.
    Pipe,
    /// HTTP.
    Tcp,
}

/// How much of the messages' content is reported, beside sizes, names and ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Metadata,
    /// What callers give.
    Arguments,
    /// What they get: results, and the texts of errors and progress.
    Results,
    /// Both.
    All,
}

/// Requests that open an interaction only where that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `completion/complete`.
    Complete,
    /// `sampling/createMessage`.
    Sampling,
    /// `elicitation/create`.
    Elicitation,
}

/// What to report, and how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureSettings {
    /// How much of the content.
    pub body: Body,
    /// Interactions beside `tools/call`, `prompts/get` and `resources/read`.
    pub methods: Vec<Method>,
    /// Further names of fields whose values are secret; case, `-` and `_` do not count.
    pub redact: Vec<String>,
    /// Most bytes of a captured text; what is over is cut, and marked.
    pub max_field_bytes: usize,
    /// The share of interactions that are reported, 0.0 to 1.0.
    pub sampling: f64,
    /// Whether those that end with an error are reported all the same.
    pub keep_errors: bool,
    /// The user on whose behalf the client works, if the operator says so.
    pub user_id: Option<String>,
    /// How the messages travel.
    pub transport: Transport,
    /// Most interactions open at once; the oldest is closed as `evicted`.
    pub max_open: usize,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            body: Body::Metadata,
            methods: Vec::new(),
            redact: Vec::new(),
            max_field_bytes: 4096,
            sampling: 1.0,
            keep_errors: false,
            user_id: None,
            transport: Transport::Pipe,
            max_open: 10_000,
        }
    }
}
