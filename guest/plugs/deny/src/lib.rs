//! Denies what the reporter imports, in the way in which Spin 4 denies it to a dependency of a
//! component that inherits nothing of its configuration. The tests compose the reporter with this
//! where Spin would compose it with an adapter of its own, which is in no registry.
//!
//! Spin denies each interface with an error of the interface, never with a trap: the configuration
//! and outgoing HTTP with a sentence that names the interface, and the key-value store when it is
//! opened. What it has no denial for stays the host's: here `wasi:keyvalue/batch` and
//! `wasi:keyvalue/atomics`. With the store denied their buckets are not the store's, so that the
//! reporter is composed with this only where it inherits the store.

#![no_std]

extern crate alloc;

use alloc::{string::String, vec::Vec};

use mcp_reporter_plug_runtime as _;

use bindings::exports::wasi::{
    config::store as config,
    http::outgoing_handler::{
        self, ErrorCode, FutureIncomingResponse, OutgoingRequest, RequestOptions,
    },
    keyvalue::store::{self as keyvalue, Bucket, GuestBucket, KeyResponse},
};

mod bindings {
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
            package mcp-reporter:deny;

            world deny {
                export wasi:config/store@0.2.0-draft-2024-09-27;
                export wasi:http/outgoing-handler@0.2.0;
                export wasi:keyvalue/store@0.2.0-draft2;
            }
        ",
        world: "mcp-reporter:deny/deny",
        generate_all,
    });

    export!(Component with_types_in self);

    use crate::Component;
}

/// What the world's exports are implemented on.
struct Component;

fn denied(interface: &str) -> String {
    ["the component may not use ", interface].concat()
}

impl config::Guest for Component {
    fn get(_key: String) -> Result<Option<String>, config::Error> {
        Err(config::Error::Io(denied("wasi:config/store")))
    }

    fn get_all() -> Result<Vec<(String, String)>, config::Error> {
        Err(config::Error::Io(denied("wasi:config/store")))
    }
}

impl outgoing_handler::Guest for Component {
    fn handle(
        _request: OutgoingRequest,
        _options: Option<RequestOptions>,
    ) -> Result<FutureIncomingResponse, ErrorCode> {
        let why = denied("wasi:http/outgoing-handler");
        Err(ErrorCode::InternalError(Some(why)))
    }
}

impl keyvalue::Guest for Component {
    type Bucket = NoBucket;

    fn open(_identifier: String) -> Result<Bucket, keyvalue::Error> {
        Err(keyvalue::Error::AccessDenied)
    }
}

/// There is none: none can be opened.
enum NoBucket {}

impl GuestBucket for NoBucket {
    fn get(&self, _key: String) -> Result<Option<Vec<u8>>, keyvalue::Error> {
        match *self {}
    }

    fn set(&self, _key: String, _value: Vec<u8>) -> Result<(), keyvalue::Error> {
        match *self {}
    }

    fn delete(&self, _key: String) -> Result<(), keyvalue::Error> {
        match *self {}
    }

    fn exists(&self, _key: String) -> Result<bool, keyvalue::Error> {
        match *self {}
    }

    fn list_keys(&self, _cursor: Option<String>) -> Result<KeyResponse, keyvalue::Error> {
        match *self {}
    }
}
