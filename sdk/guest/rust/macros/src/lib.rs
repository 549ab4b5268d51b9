//! The attributes of the Lockgate Rust SDK; authors reach them through `lockgate_sdk`.
//!
//! Each attribute turns what an author wrote into an implementation of an SDK trait, and refuses
//! what cannot work with an error at the very token that is wrong. The expansions hold no logic:
//! they name types, columns and methods, and everything else happens in functions of the SDK.

mod document;
mod endpoint;
mod executor;
mod parameters;
mod words;

use proc_macro::TokenStream;
use proc_macro2::Span;
use syn::Error;

/// Makes an `impl` block an executor and the component's export.
///
/// `#[executor]`, with any of `name = "..."`, `version = "..."` and `stateful`. The name and the
/// version default to the crate's, the description is the doc comment of the block.
#[proc_macro_attribute]
pub fn executor(options: TokenStream, item: TokenStream) -> TokenStream {
    executor::expand(options.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes a method of an `#[executor]` block an endpoint.
///
/// `#[endpoint("/name")]`, with any of `reads("column", ...)`, `writes("column", ...)` and
/// `streaming`. `/default` serves the endpoints that have no method. After `self` the method takes,
/// in any order, any of `&mut Documents`, `&Request`, `Vec<T>` of typed documents, and one
/// deserialisable type for the parameters; it returns nothing or the reply's typed documents,
/// with or without `Result`.
#[proc_macro_attribute]
pub fn endpoint(_: TokenStream, _: TokenStream) -> TokenStream {
    misplaced("endpoint")
}

/// Makes a function of an `#[executor]` block the one that creates it.
///
/// It takes nothing or one deserialisable configuration. Without it the executor is its `Default`.
#[proc_macro_attribute]
pub fn init(_: TokenStream, _: TokenStream) -> TokenStream {
    misplaced("init")
}

/// Makes a struct a typed document: fields are columns of their names.
///
/// `#[document(column = "...")]` names another column, `#[document(default)]` fills a missing value
/// with the type's default, `#[document(skip)]` leaves the field out.
#[proc_macro_derive(Document, attributes(document))]
pub fn document(item: TokenStream) -> TokenStream {
    document::expand(item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// Describes a struct of parameters in the executor's manifest, as JSON Schema.
///
/// Doc comments are the descriptions. Reads serde's `rename`, `rename_all`, `default`, `skip`,
/// and `deny_unknown_fields`.
#[proc_macro_derive(Parameters)]
pub fn parameters(item: TokenStream) -> TokenStream {
    parameters::expand(item.into()).unwrap_or_else(Error::into_compile_error).into()
}

/// These two are read by `#[executor]`; on their own they would silently do nothing.
fn misplaced(name: &str) -> TokenStream {
    let message = format!("#[{name}] belongs on a method of an impl block that has #[executor]");
    Error::new(Span::call_site(), message).into_compile_error().into()
}
