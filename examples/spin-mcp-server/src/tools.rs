//! The tools: what they are called, what they take, what they do.

use serde_json::{Value, json};

/// How many texts are counted in one call.
const TEXTS: usize = 20;

/// A tool.
#[derive(Clone, Copy)]
pub enum Tool {
    /// Counts the words of texts.
    CountWords,
    /// Counts the days from one date to another.
    DaysBetween,
}

impl Tool {
    /// The tool of this name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "count_words" => Some(Self::CountWords),
            "days_between" => Some(Self::DaysBetween),
            _ => None,
        }
    }

    /// Does what it is for. `progress` is told how much of how much is done, before the end.
    pub fn call(
        self,
        arguments: &Value,
        progress: impl FnMut(usize, usize),
    ) -> Result<String, String> {
        match self {
            Self::CountWords => count_words(arguments, progress),
            Self::DaysBetween => days_between(arguments),
        }
    }
}

/// The result of `tools/list`.
pub fn list() -> Value {
    let date = json!({"type": "string", "format": "date", "description": "YYYY-MM-DD"});
    json!({"tools": [
        {
            "name": "count_words",
            "description": "Counts the words and characters of each text.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "texts": {
                        "type": "array",
                        "items": {"type": "string"},
                        "minItems": 1,
                        "maxItems": TEXTS,
                    },
                },
                "required": ["texts"],
            },
        },
        {
            "name": "days_between",
            "description": "Counts the days from one date to another; negative if that is earlier.",
            "inputSchema": {
                "type": "object",
                "properties": {"from": date, "to": date},
                "required": ["from", "to"],
            },
        },
    ]})
}

fn count_words(
    arguments: &Value,
    mut progress: impl FnMut(usize, usize),
) -> Result<String, String> {
    let wrong = || format!("texts must be an array of 1 to {TEXTS} strings");
    let texts = arguments["texts"].as_array().ok_or_else(wrong)?;
    if !(1..=TEXTS).contains(&texts.len()) {
        return Err(wrong());
    }
    let mut lines = Vec::new();
    for (done, text) in texts.iter().enumerate() {
        if done > 0 {
            progress(done, texts.len());
        }
        let text = text.as_str().ok_or_else(wrong)?;
        let (words, characters) = (text.split_whitespace().count(), text.chars().count());
        lines.push(format!("{words} words, {characters} characters"));
    }
    Ok(lines.join("\n"))
}

fn days_between(arguments: &Value) -> Result<String, String> {
    let date = |name: &str| {
        let text = arguments[name].as_str().unwrap_or_default();
        day(text).ok_or_else(|| format!("{name} must be a date of the calendar, as YYYY-MM-DD"))
    };
    Ok((date("to")? - date("from")?).to_string())
}

/// The days from a fixed day to this date of the Gregorian calendar.
fn day(text: &str) -> Option<i64> {
    let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<i64>().ok(),
        false => None,
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = lengths.get(..usize::try_from(month).ok()?.checked_sub(1)?)?;
    let length = *lengths.get(before.len())?;
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = year - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leaps + before.iter().sum::<i64>() + day)
}
