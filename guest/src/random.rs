//! Random bytes, fetched in bulk so that most reports cost no host call for them.

use mcp_reporter_core::store::Random;

use crate::bindings::wasi::random::random::get_random_bytes;
use crate::prelude::*;

/// How many bytes are fetched at once: enough for some ten events.
const BATCH_BYTES: u64 = 2048;

/// Random bytes from the host that were not used yet.
#[derive(Default)]
pub struct Pool {
    unused: Vec<u8>,
}

impl Random for Pool {
    fn fill(&mut self, buf: &mut [u8]) {
        if self.unused.len() < buf.len() {
            self.unused = get_random_bytes(BATCH_BYTES.max(buf.len() as u64));
        }
        let rest = self.unused.len() - buf.len();
        buf.copy_from_slice(&self.unused[rest..]);
        self.unused.truncate(rest);
    }
}
