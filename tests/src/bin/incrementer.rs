//! `incrementer FOLDER COUNT`: adds 1 to the key `sum` of the store on that folder, so many times,
//! and says each sum once it is acknowledged; then `end`.

use std::path::Path;

use mcp_reporter_tests::{KeyValue, KeyValueFs};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (folder, count) = (arguments.next(), arguments.next());
    let folder = folder.expect("the folder is missing");
    let count = count.and_then(|text| text.parse::<usize>().ok());
    let count = count.expect("the count is missing, or no number");
    let mut store = KeyValueFs::new(Path::new(&folder)).open().await;
    for _ in 0..count {
        let sum = store.increment("sum", 1).await.expect("no sum");
        println!("sum {sum}");
        let key = format!("sum.{sum}");
        store.set(&key, b"").await.expect("it is not stored");
    }
    println!("end");
}
