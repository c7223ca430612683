;; Asks for whatever it is told to, with nothing between it and the host:
;; unlike the reporter, it checks nothing itself. hostile.wasm is made of it:
;;
;;   wasm-tools component embed --world hostile WIT hostile.wat | wasm-tools component new
;;
;; where WIT is a folder of hostile.wit and a copy of the repository's wit/deps.
(module
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request"
    (func $request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
    (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
    (func $set-authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
    (func $set-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle"
    (func $handle (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
    (func $subscribe (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get"
    (func $get (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.status"
    (func $status (param i32) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))

  (memory (export "memory") 2)
  ;; Below it, what calls return.
  (global $free (mut i32) (i32.const 1024))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  (func (export "attack")
    (param $kind i32) (param $scheme i32) (param $scheme-len i32)
    (param $authority i32) (param $authority-len i32)
    (param $path i32) (param $path-len i32) (result i32)
    (local $request i32) (local $future i32)
    (local.set $request (call $request (call $fields)))
    (if (call $set-scheme (local.get $request) (i32.const 1)
          (local.get $kind) (local.get $scheme) (local.get $scheme-len))
      (then (return (i32.const 2001))))
    (if (call $set-authority (local.get $request) (i32.const 1)
          (local.get $authority) (local.get $authority-len))
      (then (return (i32.const 2002))))
    (if (call $set-path (local.get $request) (i32.const 1)
          (local.get $path) (local.get $path-len))
      (then (return (i32.const 2003))))
    ;; result<future-incoming-response, error-code>
    (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 0))
    (if (i32.load8_u (i32.const 0))
      (then (return (i32.add (i32.const 1000) (i32.load8_u (i32.const 8))))))
    (local.set $future (i32.load (i32.const 8)))
    (call $block (call $subscribe (local.get $future)))
    ;; option<result<result<incoming-response, error-code>>>
    (call $get (local.get $future) (i32.const 64))
    (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
    (if (i32.load8_u (i32.const 72)) (then unreachable))
    (if (i32.load8_u (i32.const 80))
      (then (return (i32.add (i32.const 1000) (i32.load8_u (i32.const 88))))))
    (call $status (i32.load (i32.const 88)))))
