//! What `std` would bring: memory, and what happens on a panic.

use core::{
    arch::wasm32,
    panic::{Location, PanicInfo},
    sync::atomic::{AtomicBool, Ordering},
};

use mcp_reporter_core::text::decimal;
use rlsf::SmallGlobalTlsf;

use crate::log::{Level, log};

/// A fifth of the code of `std`'s own.
#[global_allocator]
static MEMORY: SmallGlobalTlsf = SmallGlobalTlsf::new();

// Inlined, so that the linker sees that nobody reads the message, and drops what makes it: a
// twentieth of the component.
#[panic_handler]
#[inline(always)]
#[expect(unused_attributes, reason = "it is of use to the linker")]
fn panic(panic: &PanicInfo<'_>) -> ! {
    panicked(panic.location())
}

#[inline(never)]
fn panicked(place: Option<&Location<'_>>) -> ! {
    static ALREADY: AtomicBool = AtomicBool::new(false);
    // Once only: with no memory left, logging panics too.
    if !ALREADY.swap(true, Ordering::Relaxed)
        && let Some(place) = place
    {
        // Where, and not what: the message of a panic may quote an event.
        let (line, column) = (decimal(place.line().into()), decimal(place.column().into()));
        let text = ["panicked at ", place.file(), ":", &line, ":", &column].concat();
        log(Level::Error, &text);
    }
    wasm32::unreachable()
}
