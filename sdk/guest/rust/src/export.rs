//! The component's exports: one instance of the executor, created by `init` and kept for its calls.
//!
//! A panic ends the instance (wasm aborts), so a hook tells the tenant why before it does.

#[cfg(target_arch = "wasm32")]
use std::cell::RefCell;
#[cfg(target_arch = "wasm32")]
use std::thread::LocalKey;

#[cfg(target_arch = "wasm32")]
use crate::{Error, Executor, Level, Result, bindings::lockgate::executor::types};

/// Makes an executor the component's export; `#[executor]` calls it. Nothing happens elsewhere
/// than on wasm.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! export {
    ($executor:ty) => {
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::core::cell::RefCell<::core::option::Option<$executor>> =
                    const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Component;

            impl $crate::bindings::exports::lockgate::executor::executor::Guest for Component {
                fn describe() -> ::std::string::String {
                    $crate::private::describe::<$executor>()
                }

                fn init()
                -> ::core::result::Result<(), $crate::bindings::exports::lockgate::executor::executor::Error> {
                    $crate::private::init(&INSTANCE)
                }

                fn call(
                    endpoint: ::std::string::String,
                ) -> ::core::result::Result<(), $crate::bindings::exports::lockgate::executor::executor::Error> {
                    $crate::private::call(&INSTANCE, &endpoint)
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

/// Makes an executor the component's export; `#[executor]` calls it. Nothing happens elsewhere
/// than on wasm.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export {
    ($executor:ty) => {};
}

/// Creates the instance, before the first call.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub fn init<E: Executor>(instance: &'static LocalKey<RefCell<Option<E>>>) -> Result<(), types::Error> {
    std::panic::set_hook(Box::new(|panic| crate::log(Level::Error, format_args!("{panic}"))));
    let executor = E::create()?;
    instance.set(Some(executor));
    Ok(())
}

/// Calls the instance.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub fn call<E: Executor>(
    instance: &'static LocalKey<RefCell<Option<E>>>,
    endpoint: &str,
) -> Result<(), types::Error> {
    instance.with_borrow_mut(|executor| match executor {
        Some(executor) => Ok(crate::private::run(executor, endpoint)?),
        None => Err(Error::failed_precondition("the executor was called before it was initialised").into()),
    })
}
