//! The body of an event, compared with what Python's `json.dumps` makes of the
//! same event: as JSON, in key order, with every digit of every number.

use mcp_reporter::{Action, Payload, Report};
use mcp_reporter_tests::{Place, coordinator, python, stored};
use serde_json::{Value, json};

/// Makes events as the old client does, one JSON line for each.
const MAKE: &str = r#"
import json, decimal
payloads = [
    {},
    {"a": {}, "b": [], "c": "", "d": None, "e": True, "f": False},
    {"z": 1, "y": 2, "x": 3, "a": 4, "Z": 5, "": 6},
    {"é": "ü", "日本語": "テキスト", "emoji": "😀🏳️‍🌈", "rtl": "\u202eabc", "nul": "\x00\x1f\x7f\x80"},
    {"quotes": "\"\\/\b\f\n\r\t", "line": "\u2028\u2029", "html": "</script><!--"},
    {"f": [0.1, 1.0, -0.0, 1e16, 1e-7, 1e22, 1.7976931348623157e308, 5e-324, 3.141592653589793]},
    {"f": [123456789.12345679, 0.30000000000000004, 1e15, 123456789012345680.0, 2.5e-10]},
    {"i": [0, -1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, -2**64, 10**40, -10**400]},
    {"deep": {"deep": {"deep": {"deep": {"deep": [[[[[{"deep": "end"}]]]]]}}}}},
    {"1": 1, "1.0": 1.0, "null": None, "true": True},
    {"user_id": "u", "request_type": "tools/call", "input_size": 17, "parameters": {"b": 1, "a": [1, 2.0]}},
    {"success": True, "output_size": 0, "processing_time": 0.25, "quality_score": 1.0, "adapter_used": None,
     "performance_metrics": {"processing_time": 0.1, "memory_usage_mb": -0.5, "cpu_usage_percent": 99.9, "timestamp": 1718000000.25}},
    {"long": "x" * 100000, "many": list(range(5000))},
]
times = [1718000000.123456, 1718000000.0, 1718000000.5, 1718000000.000001, 1718000000.1234567, 1e9]
actions = [("interaction_start", "request_data"), ("interaction_progress", "progress_data"),
           ("interaction_complete", "result_data"), ("interaction_error", "error_data")]
n = 0
for payload in payloads:
    for (action, member) in actions:
        for ascii in (True, False):
            t = times[n % len(times)]
            event = {"action": action, "interaction_id": 'int_1718000000_1a2b3c4d "\\é😀', "mcp_id": "your_mcp_001 é",
                     "timestamp": t, member: payload}
            print(json.dumps({
                "action": action,
                "interaction_id": event["interaction_id"],
                "mcp_id": event["mcp_id"],
                "timestamp_ns": int(decimal.Decimal(repr(t)).scaleb(9)),
                "data": json.dumps(payload, ensure_ascii=ascii),
                "event": json.dumps(event, ensure_ascii=ascii),
            }))
            n += 1
"#;

/// Compares the lines of pairs of texts. Objects are lists of members, so that
/// order and repetition count; a number is its text.
const COMPARE: &str = r#"
import json, sys, decimal
exact = sys.argv[1] == "exact"
decimal.getcontext().prec = 2000
def number(kind):
    def parse(text):
        if exact:
            return (kind, text)
        value = decimal.Decimal(text)
        return (kind, value, value.is_signed())
    return parse
def forbidden(text):
    raise ValueError(text)
def read(text):
    return json.loads(text, object_pairs_hook=lambda members: ("object", members),
                      parse_int=number("int"), parse_float=number("float"), parse_constant=forbidden)
pairs = [json.loads(line) for line in sys.stdin]
for (expected, got) in pairs:
    if read(expected) != read(got):
        print("expected", expected[:500], "got", got[:500])
print(len(pairs), "compared")
"#;

/// Reports `events` and returns pairs for [`COMPARE`], a line each.
async fn delivered(events: Vec<(Report, String)>) -> String {
    let place = Place::new();
    let coordinator = coordinator();
    // In one interaction, so that they arrive in order; after a start, so that they are stored.
    let more = [("max_in_flight", "1")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    let mut id = events[0].0.interaction_id.clone();
    reporter.report_start(id.as_str(), "{}").await.unwrap();
    stored(&coordinator, 1).await;
    let mut pairs = String::new();
    for (number, (report, expected)) in events.into_iter().enumerate() {
        id.clone_from(&report.interaction_id);
        for result in reporter.report_many(vec![report]).await {
            result.unwrap_or_else(|error| panic!("{id}: {error}: {expected:.200}"));
        }
        stored(&coordinator, number as u64 + 2).await;
        let receipt = coordinator.receipts().pop().unwrap();
        let got = std::str::from_utf8(&receipt.body).unwrap();
        pairs.push_str(&format!("{}\n", json!([expected, got])));
    }
    pairs
}

#[tokio::test]
async fn a_body_is_what_pythons_json_dumps_makes_of_the_same_event() {
    let mut events = Vec::new();
    for line in python(MAKE, &[], "").lines() {
        let made: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let action = match made["action"].as_str().unwrap() {
            "interaction_start" => Action::Start,
            "interaction_progress" => Action::Progress,
            "interaction_complete" => Action::Complete,
            _ => Action::Error,
        };
        let report = Report {
            timestamp_ns: made["timestamp_ns"].as_u64(),
            mcp_id: Some(text("mcp_id")),
            ..Report::new(action, text("interaction_id"), text("data"))
        };
        events.push((report, text("event")));
    }
    let count = events.len();
    let pairs = delivered(events).await;
    assert_eq!(
        python(COMPARE, &["exact"], &pairs),
        format!("{count} compared\n")
    );
}

#[tokio::test]
async fn a_payload_made_in_rust_has_the_values_that_python_would_send() {
    // The same values, which the two languages print differently: 1e16 and 1e+16.
    let cases = [
        (
            json!({"f": [1e16, -0.0, 0.1, 5e-324, f64::MAX, 1.0]}),
            r#"{"f": [1e+16, -0.0, 0.1, 5e-324, 1.7976931348623157e+308, 1.0]}"#,
        ),
        (
            json!({"i": [u64::MAX, i64::MIN, 0]}),
            r#"{"i": [18446744073709551615, -9223372036854775808, 0]}"#,
        ),
        (
            json!({"z": {"b": [], "a": {}}, "a": "é😀\u{2028}\u{0}"}),
            r#"{"z": {"b": [], "a": {}}, "a": "\u00e9\ud83d\ude00\u2028\u0000"}"#,
        ),
    ];
    let events = cases.into_iter().map(|(value, python)| {
        let mut report = Report::new(Action::Progress, "i", Payload::of(&value).unwrap());
        report.timestamp_ns = Some(1_718_000_000_250_000_000);
        let expected = format!(
            r#"{{"action": "interaction_progress", "interaction_id": "i", "mcp_id": "test", "timestamp": 1718000000.25, "progress_data": {python}}}"#
        );
        (report, expected)
    });
    let pairs = delivered(events.collect()).await;
    assert_eq!(python(COMPARE, &["values"], &pairs), "3 compared\n");
}

#[tokio::test]
async fn a_payload_keeps_its_bytes() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    let data = "{ \"b\" : 1E5,\n\t\"a\": 0.10000, \"u\": \"\\u0041\\/\", \"n\": 1e-400 }";
    reporter
        .report_start("i", format!("  {data}\r\n"))
        .await
        .unwrap();
    stored(&coordinator, 1).await;
    let body = coordinator.receipts()[0].body.clone();
    let body = std::str::from_utf8(&body).unwrap();
    let beginning =
        r#"{"action":"interaction_start","interaction_id":"i","mcp_id":"test","timestamp":"#;
    let rest = body.strip_prefix(beginning).unwrap();
    let (timestamp, rest) = rest.split_once(',').unwrap();
    assert!(
        timestamp.parse::<f64>().unwrap() > 1.7e9 && timestamp.contains('.'),
        "{timestamp}"
    );
    assert_eq!(rest, format!(r#""request_data":{data}}}"#));
}
