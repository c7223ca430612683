//! What Spin's own host implements of the component's imports, as generated from `wit/`.
#![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package mcp-reporter:spin;

        world spin {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:config/store@0.2.0-draft-2024-09-27;
        }
    ",
    world: "mcp-reporter:spin/spin",
    imports: {
        "wasi:keyvalue": async | trappable,
        default: trappable,
    },
    with: {
        "wasi:keyvalue/store.bucket": crate::spin::keyvalue::Bucket,
        "wasi:keyvalue/atomics.cas": crate::spin::keyvalue::Slot,
    },
});
