//! Wraps and unwraps servers in the text of a configuration file.

use super::document::{Args, ClientFileError, Entry, Kind, Stdio, parse, servers};
use std::ops::Range;

/// The byte order mark.
pub(super) const BOM: &str = "\u{feff}";
const MCP_ID: &str = "--mcp-id";

/// How a server is to be wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapping {
    /// The `mcp-reporter` program, as the client is to start it.
    pub program: String,
    /// Further flags of `wrap` with their values, such as `--config` and a path. A server that
    /// is wrapped already keeps the flags it has and that are not named here.
    pub settings: Vec<(String, String)>,
}

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The new text.
    pub text: String,
    /// The servers that were asked for, in the order of the file.
    pub servers: Vec<Server>,
}

/// What became of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The project's folder, where the server belongs to one project only.
    pub project: Option<String>,
    /// Its name.
    pub name: String,
    /// How it stands now.
    pub state: State,
}

/// How a server stands after [`enable`] or [`disable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was not wrapped and is now.
    Wrapped,
    /// It was wrapped, with another program or other settings.
    Updated,
    /// It was wrapped, just so.
    AlreadyWrapped,
    /// It was wrapped and is not any more.
    Unwrapped,
    /// It was not wrapped.
    NotWrapped,
    /// It is reached by a URL: there is no command to wrap. Only [`enable`] says so.
    Remote,
    /// It is not understood and was left alone; this goes on after its name and a colon.
    Unclear(&'static str),
}

impl State {
    /// Whether the text was changed for it.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Wrapped | Self::Updated | Self::Unwrapped)
    }
}

/// Makes the servers with these names, or all if there are none, run wrapped.
///
/// # Errors
///
/// The text is no client's configuration.
pub fn enable(
    text: &str,
    names: &[String],
    wrapping: &Wrapping,
) -> Result<Rewrite, ClientFileError> {
    rewrite(text, names, |name, server, text, edits| {
        match Wrap::of(server) {
            Ok(Some(wrap)) => update(name, server, &wrap, wrapping, edits),
            Ok(None) => {
                wrap(name, server, wrapping, text, edits);
                State::Wrapped
            }
            Err(why) => State::Unclear(why),
        }
    })
}

/// Makes the servers with these names, or all if there are none, run as they did before
/// [`enable`].
///
/// # Errors
///
/// The text is no client's configuration.
pub fn disable(text: &str, names: &[String]) -> Result<Rewrite, ClientFileError> {
    let mut done = rewrite(text, names, |_, server, text, edits| {
        match Wrap::of(server) {
            Ok(Some(wrap)) => {
                unwrap(server, &wrap, text, edits);
                State::Unwrapped
            }
            Ok(None) => State::NotWrapped,
            Err(why) => State::Unclear(why),
        }
    })?;
    for server in &mut done.servers {
        if server.state == State::Remote {
            server.state = State::NotWrapped;
        }
    }
    Ok(done)
}

type Edits = Vec<(Range<usize>, String)>;

fn rewrite(
    text: &str,
    names: &[String],
    mut edit: impl FnMut(&str, &Stdio<'_>, &str, &mut Edits) -> State,
) -> Result<Rewrite, ClientFileError> {
    let bom = if text.starts_with(BOM) { BOM } else { "" };
    let text = &text[bom.len()..];
    let root = parse(text)?;
    let mut edits = Edits::new();
    let mut done = Vec::new();
    for Entry {
        project,
        name,
        kind,
    } in servers(&root)
    {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let state = match kind {
            Kind::Stdio(server) => edit(name, &server, text, &mut edits),
            Kind::Remote => State::Remote,
            Kind::Unclear(why) => State::Unclear(why),
        };
        done.push(Server {
            project: project.map(str::to_owned),
            name: name.to_owned(),
            state,
        });
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut new = String::with_capacity(text.len() + 256 * edits.len());
    new.push_str(bom);
    let mut copied = 0;
    for (range, with) in edits {
        new.push_str(&text[copied..range.start]);
        new.push_str(&with);
        copied = range.end;
    }
    new.push_str(&text[copied..]);
    Ok(Rewrite {
        text: new,
        servers: done,
    })
}

/// A server's wrapped form.
pub(super) struct Wrap<'a> {
    pub args: &'a Args<'a>,
    /// Place of the server's own command among the arguments.
    pub command: usize,
}

impl<'a> Wrap<'a> {
    /// None if the server is not wrapped.
    pub fn of(server: &'a Stdio<'a>) -> Result<Option<Self>, &'static str> {
        let Some(args) = server.args.as_ref().filter(|args| {
            is_mcp_reporter(&server.command.value)
                && args.items.first().is_some_and(|item| item.value == "wrap")
        }) else {
            return Ok(None);
        };
        // No value of a flag is `--`: it would have to be written in one piece with the flag.
        match args.items.iter().position(|item| item.value == "--") {
            Some(end) if end + 1 < args.items.len() => Ok(Some(Self {
                args,
                command: end + 1,
            })),
            _ => Err("it runs `mcp-reporter wrap` without `--` and a command after it"),
        }
    }

    /// What stands between `wrap` and `--`.
    fn settings(&self) -> Vec<String> {
        self.args.items[1..self.command - 1]
            .iter()
            .map(|item| item.value.to_string())
            .collect()
    }

    fn has_own_args(&self) -> bool {
        self.command + 1 < self.args.items.len()
    }

    /// Whether the server had no `args`: its name is written in one piece with its flag.
    fn had_no_args(&self) -> bool {
        let in_one_piece = |item: &String| {
            item.strip_prefix(MCP_ID)
                .is_some_and(|rest| rest.starts_with('='))
        };
        !self.has_own_args() && self.settings().iter().any(in_one_piece)
    }
}

/// By the file name, in whatever folder, of whatever system.
fn is_mcp_reporter(command: &str) -> bool {
    let file = command.rsplit(['/', '\\']).next().unwrap_or(command);
    let stem = match file
        .len()
        .checked_sub(4)
        .and_then(|at| file.split_at_checked(at))
    {
        Some((stem, end)) if end.eq_ignore_ascii_case(".exe") => stem,
        _ => file,
    };
    stem == "mcp-reporter"
}

fn wrap(name: &str, server: &Stdio<'_>, wrapping: &Wrapping, text: &str, edits: &mut Edits) {
    let command = server.command.range;
    let literal = &text[command.start..command.end];
    edits.push((command.start..command.end, quoted(&wrapping.program)));
    let settings = settings(&[], name, server.args.is_none(), wrapping);
    let items = format!("{}{literal}", before_command(&settings));
    match &server.args {
        Some(args) => match args.items.first() {
            Some(first) => edits.push((first.range.start..first.range.start, format!("{items}, "))),
            None => {
                let inside = args.array.range.start + 1;
                edits.push((inside..inside, items));
            }
        },
        None => {
            let gap = line_break_before_command(server, text);
            edits.push((
                command.end..command.end,
                format!(",{gap}\"args\": [{items}]"),
            ));
        }
    }
}

fn update(
    name: &str,
    server: &Stdio<'_>,
    wrap: &Wrap<'_>,
    wrapping: &Wrapping,
    edits: &mut Edits,
) -> State {
    let old = wrap.settings();
    let new = settings(&old, name, wrap.had_no_args(), wrapping);
    let same_program = server.command.value == wrapping.program;
    if same_program && old == new {
        return State::AlreadyWrapped;
    }
    if !same_program {
        let command = server.command.range;
        edits.push((command.start..command.end, quoted(&wrapping.program)));
    }
    if old != new {
        let from = wrap.args.items[0].range.start;
        let to = wrap.args.items[wrap.command].range.start;
        edits.push((from..to, before_command(&new)));
    }
    State::Updated
}

fn unwrap(server: &Stdio<'_>, wrap: &Wrap<'_>, text: &str, edits: &mut Edits) {
    let items = &wrap.args.items;
    let own = items[wrap.command].range;
    let command = server.command.range;
    edits.push((
        command.start..command.end,
        text[own.start..own.end].to_owned(),
    ));
    if wrap.had_no_args()
        && let Some(range) = args_with_their_comma(server, text)
    {
        edits.push((range, String::new()));
        return;
    }
    let from = items[0].range.start;
    let to = match items.get(wrap.command + 1) {
        Some(next) => next.range.start,
        None => {
            // A list of nothing but a comma is not valid.
            let rest = &text[own.end..];
            let comma = rest.trim_start().starts_with(',');
            own.end
                + if comma {
                    rest.find(',').map_or(0, |at| at + 1)
                } else {
                    0
                }
        }
    };
    edits.push((from..to, String::new()));
}

/// The settings in the order in which they are written: the name, what was there, what is new.
fn settings(old: &[String], name: &str, in_one_piece: bool, wrapping: &Wrapping) -> Vec<String> {
    let mut new = Vec::new();
    if in_one_piece {
        new.push(format!("{MCP_ID}={name}"));
    } else {
        push(MCP_ID, name, &mut new);
    }
    let mut said = vec![MCP_ID];
    let mut old = old.iter().peekable();
    while let Some(item) = old.next() {
        let flag = item.split_once('=').map_or(item.as_str(), |(flag, _)| flag);
        let value = old.next_if(|next| flag == item && is_flag(item) && !is_flag(next));
        if let Some((flag, value)) = wrapping.settings.iter().find(|(f, _)| f == flag) {
            if !said.contains(&flag.as_str()) {
                push(flag, value, &mut new);
                said.push(flag);
            }
        } else if flag != MCP_ID {
            new.push(item.clone());
            new.extend(value.cloned());
        }
    }
    for (flag, value) in &wrapping.settings {
        if !said.contains(&flag.as_str()) {
            push(flag, value, &mut new);
        }
    }
    new
}

fn push(flag: &str, value: &str, to: &mut Vec<String>) {
    // Otherwise the value would be taken for a flag.
    if value.starts_with('-') {
        to.push(format!("{flag}={value}"));
    } else {
        to.extend([flag.to_owned(), value.to_owned()]);
    }
}

fn is_flag(item: &str) -> bool {
    item.starts_with("--")
}

/// The arguments up to the server's own command, with the comma before that.
fn before_command(settings: &[String]) -> String {
    let mut text = String::new();
    let wrap = std::iter::once("wrap");
    for item in wrap
        .chain(settings.iter().map(String::as_str))
        .chain(["--"])
    {
        text.push_str(&quoted(item));
        text.push_str(", ");
    }
    text
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What stands between two members of the object: a line break and the indentation, or a space.
fn line_break_before_command<'a>(server: &Stdio<'_>, text: &'a str) -> &'a str {
    let property = server
        .object
        .properties
        .iter()
        .find(|property| property.name.as_str() == "command");
    let before = &text[..property.map_or(0, |property| property.range.start)];
    let gap = &before[before.trim_end_matches([' ', '\t', '\r', '\n']).len()..];
    match gap.rfind('\n') {
        Some(at) if gap[..at].ends_with('\r') => &gap[at - 1..],
        Some(at) => &gap[at..],
        None => " ",
    }
}

/// The member `args` and the comma that goes with it, if nothing else stands between.
fn args_with_their_comma(server: &Stdio<'_>, text: &str) -> Option<Range<usize>> {
    let members = &server.object.properties;
    let at = members.iter().position(|m| m.name.as_str() == "args")?;
    let comma_alone = |from: usize, to: usize| text[from..to].trim() == ",";
    let args = members[at].range;
    if let Some(previous) = at.checked_sub(1).and_then(|at| members.get(at)) {
        let from = previous.range.end;
        comma_alone(from, args.start).then_some(from..args.end)
    } else {
        let next = members.get(at + 1)?.range.start;
        comma_alone(args.end, next).then_some(args.start..next)
    }
}
