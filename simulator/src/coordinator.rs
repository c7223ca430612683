//! The coordinator and the network before it: what becomes of a request.

use mcp_reporter_core::drain::Answer;

use crate::dice::Dice;
use crate::plan::Weather;

/// What becomes of a request.
pub(crate) struct Fate {
    /// Its name, for the coverage.
    pub name: &'static str,
    /// Whether the coordinator has the event now.
    pub stored: bool,
    /// What the drainer is told; none when the request hangs until its deadline.
    pub answer: Option<Answer>,
}

fn status(code: u16) -> Answer {
    Answer::Status {
        code,
        retry_after: None,
        body: String::new(),
    }
}

fn told(name: &'static str, answer: Answer) -> Fate {
    Fate {
        name,
        stored: false,
        answer: Some(answer),
    }
}

pub(crate) fn taken(dice: &mut Dice) -> Fate {
    Fate {
        stored: true,
        ..told("answer: 2xx", status(dice.pick(&[200, 201, 202, 204, 299])))
    }
}

pub(crate) fn poison() -> Fate {
    told("answer: 500 for this event", status(500))
}

pub(crate) fn refusal(dice: &mut Dice) -> Fate {
    let code = dice.pick(&[400, 402, 406, 413, 422, 451]);
    let body = dice.pick(&["", "no", "\u{1b}[31m\r\n"]);
    told(
        "answer: 4xx",
        Answer::Status {
            code,
            retry_after: None,
            body: body.repeat(300),
        },
    )
}

fn transient(dice: &mut Dice) -> Fate {
    match dice.between(0, 8) {
        0 => told("answer: 409", status(409)),
        1 => told("answer: 408 or 425", status(dice.pick(&[408, 425]))),
        2 => {
            let value = dice.pick(&[
                "0",
                "2",
                "45",
                "600",
                "99999999999",
                "soon",
                "",
                "Sun, 06 Nov 1994 08:49:37 GMT",
            ]);
            told(
                "answer: 429 or 503 with Retry-After",
                Answer::Status {
                    code: dice.pick(&[429, 503]),
                    retry_after: Some(value.into()),
                    body: String::new(),
                },
            )
        }
        3 => told("answer: 5xx", status(dice.pick(&[500, 502, 503, 504, 599]))),
        4 => told(
            "answer: garbage",
            Answer::Failed("the answer is no HTTP".into()),
        ),
        5 => told(
            "answer: connection refused",
            Answer::Failed("connection refused".into()),
        ),
        6 => told(
            "answer: a huge body",
            Answer::Status {
                code: 500,
                retry_after: None,
                body: "x".repeat(10_000),
            },
        ),
        _ => Fate {
            name: "answer: none, not stored",
            stored: false,
            answer: None,
        },
    }
}

fn deaf(dice: &mut Dice) -> Fate {
    let answer = match dice.between(0, 3) {
        0 => Some(Answer::Failed("connection reset".into())),
        1 => Some(status(500)),
        _ => None,
    };
    Fate {
        name: match &answer {
            Some(Answer::Failed(_)) => "answer: cut after storing",
            Some(_) => "answer: 500 after storing",
            None => "answer: none, after storing",
        },
        stored: true,
        answer,
    }
}

fn wrong(dice: &mut Dice) -> Fate {
    if dice.chance(200) {
        return told("answer: denied", Answer::Denied("not allowed".into()));
    }
    let code = dice.pick(&[401, 403, 301, 302, 307, 308, 404, 405, 410]);
    told("answer: wrong key or endpoint", status(code))
}

/// What becomes of a request in this weather.
pub(crate) fn fate(dice: &mut Dice, weather: Weather) -> Fate {
    match weather {
        Weather::Fine => taken(dice),
        Weather::Outage => transient(dice),
        Weather::Wrong => wrong(dice),
        Weather::Deaf => deaf(dice),
        Weather::Picky if dice.chance(500) => refusal(dice),
        Weather::Picky => taken(dice),
        Weather::Mixed => match dice.between(0, 10) {
            0..=4 => taken(dice),
            5 | 6 => transient(dice),
            7 => deaf(dice),
            8 => refusal(dice),
            _ => wrong(dice),
        },
    }
}
