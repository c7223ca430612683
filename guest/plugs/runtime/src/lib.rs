//! What `std` would bring to the provider components: memory, and an end on a panic.

#![no_std]

use core::{arch::wasm32, panic::PanicInfo};

use rlsf::SmallGlobalTlsf;

#[global_allocator]
static MEMORY: SmallGlobalTlsf = SmallGlobalTlsf::new();

// There is nowhere to write a message to: a provider has no import for that. The runtime says
// where the trap was.
#[panic_handler]
#[inline(always)]
#[expect(unused_attributes, reason = "it is of use to the linker")]
fn panic(_panic: &PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}
