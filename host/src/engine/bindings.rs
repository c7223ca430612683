//! The world `mcp-reporter` from the host's side, as generated from `wit/`.
//!
//! Of its imports, only those that are implemented here: those of wasmtime's own crates come with
//! bindings of their own.
#![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package mcp-reporter:host;

        world mcp-reporter {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:config/store@0.2.0-draft-2024-09-27;

            export mcp-reporter:interactions/reporter@0.1.0;
            export mcp-reporter:interactions/outbox@0.1.0;
            export mcp-reporter:interactions/coordinator@0.1.0;
        }
    ",
    world: "mcp-reporter:host/mcp-reporter",
    imports: {
        "wasi:keyvalue": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasi:keyvalue/store.bucket": crate::engine::keyvalue::Bucket,
        "wasi:keyvalue/atomics.cas": crate::engine::keyvalue::Cas,
    },
});
