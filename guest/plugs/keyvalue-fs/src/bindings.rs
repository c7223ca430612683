//! The world of this provider, as generated from `wit/`.
#![allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated: the canonical ABI takes raw pointers"
)]

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package mcp-reporter:keyvalue-fs;

        world keyvalue-fs {
            import wasi:filesystem/types@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:clocks/wall-clock@0.2.0;
            import wasi:random/random@0.2.0;
            export wasi:keyvalue/store@0.2.0-draft2;
            export wasi:keyvalue/batch@0.2.0-draft2;
            export wasi:keyvalue/atomics@0.2.0-draft2;
        }
    ",
    world: "mcp-reporter:keyvalue-fs/keyvalue-fs",
    generate_all,
});

pub use exports::wasi::keyvalue::{atomics, batch, store};

export!(Component with_types_in self);

use crate::Component;
