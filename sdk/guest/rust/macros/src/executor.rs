//! `#[executor]`: an `impl` block becomes an implementation of `Executor` and the export.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, ImplItem, ImplItemFn, ItemImpl, LitStr, ReturnType, Type};

use crate::endpoint::Endpoint;
use crate::words::{collect, description, unknown, wrong};

/// The block without our attributes, followed by what they mean.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut block: ItemImpl = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), "#[executor] belongs on an `impl Type { ... }` block"))?;
    check_block(&block)?;
    let (init, endpoints) = methods(&mut block)?;
    let manifest = manifest(&options, &block, &endpoints);
    let create = create(init.as_ref());
    let call = call(&endpoints);
    let executor = &block.self_ty;
    Ok(quote! {
        #block

        #[automatically_derived]
        impl ::lockgate_sdk::Executor for #executor {
            #manifest
            #create
            #call
        }

        ::lockgate_sdk::export!(#executor);
    })
}

#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    version: Option<LitStr>,
    stateful: bool,
}

impl Options {
    fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|meta| {
            if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("version") {
                options.version = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("stateful") {
                options.stateful = true;
            } else {
                return Err(unknown(
                    &meta.path,
                    "#[executor]",
                    "name = \"...\", version = \"...\" and stateful",
                ));
            }
            Ok(())
        })
        .parse2(tokens)?;
        if let Some(name) = options.name.as_ref().filter(|name| name.value().trim().is_empty()) {
            return wrong(name, "an executor's name is not empty");
        }
        Ok(options)
    }
}

fn check_block(block: &ItemImpl) -> syn::Result<()> {
    if let Some((_, path, _)) = &block.trait_ {
        return wrong(path, "#[executor] belongs on an inherent `impl Type { ... }`, not on a trait's");
    }
    if !block.generics.params.is_empty() {
        return wrong(&block.generics, "an executor has no generic parameters: it is exported as one type");
    }
    Ok(())
}

/// The function that creates the executor.
struct Init {
    method: syn::Ident,
    config: Option<Type>,
    fallible: bool,
}

/// Takes our attributes off the methods; every mistake is reported, not only the first.
fn methods(block: &mut ItemImpl) -> syn::Result<(Option<Init>, Vec<Endpoint>)> {
    let (mut init, mut endpoints, mut errors) = (None, Vec::<Endpoint>::new(), Vec::new());
    for method in block.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    }) {
        if let Some(attribute) = take(method, "init") {
            match self::init(method) {
                Ok(_) if init.is_some() => {
                    errors.push(Error::new_spanned(attribute, "there is a #[init] already"))
                }
                Ok(found) => init = Some(found),
                Err(error) => errors.push(error),
            }
        }
        while let Some(attribute) = take(method, "endpoint") {
            match Endpoint::read(&attribute, method) {
                Ok(endpoint) => {
                    match endpoints.iter().find(|other| other.name.value() == endpoint.name.value()) {
                        Some(_) => errors.push(Error::new_spanned(
                            &endpoint.name,
                            "there is an endpoint of this name already",
                        )),
                        None => endpoints.push(endpoint),
                    }
                }
                Err(error) => errors.push(error),
            }
        }
    }
    collect(errors)?;
    if endpoints.is_empty() {
        return wrong(&block.self_ty, "an executor needs a method with #[endpoint(\"/name\")]");
    }
    Ok((init, endpoints))
}

fn take(method: &mut ImplItemFn, name: &str) -> Option<Attribute> {
    let is_ours =
        |attribute: &Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == name);
    let index = method.attrs.iter().position(is_ours)?;
    Some(method.attrs.remove(index))
}

fn init(method: &ImplItemFn) -> syn::Result<Init> {
    let signature = &method.sig;
    if let Some(token) = &signature.asyncness {
        return wrong(token, "#[init] is not async: an instance does one thing at a time");
    }
    let mut config = None;
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                return wrong(receiver, "#[init] creates the executor and has no self");
            }
            FnArg::Typed(input) if config.is_some() => {
                return wrong(input, "#[init] takes at most one argument, the configuration");
            }
            FnArg::Typed(input) => match &*input.ty {
                Type::Reference(reference) => {
                    return wrong(reference, "#[init] owns its configuration: take it by value");
                }
                ty => config = Some(ty.clone()),
            },
        }
    }
    let ReturnType::Type(_, output) = &signature.output else {
        return wrong(&signature.ident, "#[init] returns `Self` or `Result<Self>`");
    };
    let fallible = !crate::words::is_named(output, "Self") && crate::words::is_named(output, "Result");
    Ok(Init { method: signature.ident.clone(), config, fallible })
}

fn manifest(options: &Options, block: &ItemImpl, endpoints: &[Endpoint]) -> TokenStream {
    let name =
        options.name.as_ref().map_or_else(|| quote!(::core::env!("CARGO_PKG_NAME")), |name| quote!(#name));
    let version = options
        .version
        .as_ref()
        .map_or_else(|| quote!(::core::env!("CARGO_PKG_VERSION")), |version| quote!(#version));
    let (description, stateful) = (description(&block.attrs), options.stateful);
    let endpoints = endpoints.iter().map(Endpoint::manifest);
    quote! {
        const MANIFEST: ::lockgate_sdk::Manifest = ::lockgate_sdk::Manifest {
            name: #name,
            version: #version,
            description: #description,
            stateful: #stateful,
            endpoints: &[#(#endpoints),*],
        };
    }
}

fn create(init: Option<&Init>) -> TokenStream {
    let made = match init {
        None => quote!(::core::result::Result::Ok(<Self as ::core::default::Default>::default())),
        Some(Init { method, config, fallible }) => {
            let config =
                config.as_ref().map(|ty| quote_spanned!(ty.span()=> ::lockgate_sdk::configuration::<#ty>()?));
            let call = quote_spanned!(method.span()=> Self::#method(#config));
            if *fallible {
                quote!(#call.map_err(::core::convert::Into::into))
            } else {
                quote!(::core::result::Result::Ok(#call))
            }
        }
    };
    quote! {
        fn create() -> ::lockgate_sdk::Result<Self> {
            #made
        }
    }
}

fn call(endpoints: &[Endpoint]) -> TokenStream {
    let is_default = |endpoint: &&Endpoint| endpoint.name.value() == "/default";
    let arms = endpoints.iter().filter(|endpoint| !is_default(endpoint)).map(|endpoint| {
        let (name, work) = (&endpoint.name, endpoint.call());
        quote!(#name => #work)
    });
    let fallback = endpoints.iter().find(is_default).map_or_else(
        || {
            quote! {
                ::core::result::Result::Err(::lockgate_sdk::unknown_endpoint(
                    &<Self as ::lockgate_sdk::Executor>::MANIFEST,
                    endpoint,
                ))
            }
        },
        Endpoint::call,
    );
    let (documents, request) = (format_ident!("documents"), format_ident!("request"));
    quote! {
        #[allow(unused_variables, reason = "not every executor asks for everything")]
        fn call(
            &mut self,
            endpoint: &str,
            #documents: &mut ::lockgate_sdk::Documents,
            #request: &::lockgate_sdk::Request,
        ) -> ::lockgate_sdk::Result<()> {
            match endpoint {
                #(#arms,)*
                _ => #fallback,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    fn check(options: TokenStream, item: TokenStream, expected: &str) {
        words::check(expand(options, item), expected);
    }

    #[test]
    fn misuse_is_named() {
        let none = || quote!();
        let method = |method: TokenStream| quote!(impl X { #method });
        let one = || {
            method(quote!(
                #[endpoint("/a")]
                fn a(&mut self) {}
            ))
        };
        check(quote!(nam = "x"), one(), "#[executor] has no such option; it has name");
        check(quote!(name = " "), one(), "name is not empty");
        check(
            none(),
            quote!(
                struct X;
            ),
            "belongs on an `impl Type { ... }` block",
        );
        check(none(), quote!(impl Clone for X {}), "not on a trait's");
        check(
            none(),
            quote!(
                impl<T> X<T> {}
            ),
            "no generic parameters",
        );
        check(
            none(),
            method(quote!(
                fn a(&self) {}
            )),
            "needs a method with #[endpoint",
        );
        for (written, expected) in [
            (
                quote!(
                    #[init]
                    fn new(&self) -> Self {}
                ),
                "has no self",
            ),
            (
                quote!(
                    #[init]
                    fn new(a: A, b: B) -> Self {}
                ),
                "at most one argument",
            ),
            (
                quote!(
                    #[init]
                    fn new(a: &A) -> Self {}
                ),
                "take it by value",
            ),
            (
                quote!(
                    #[init]
                    fn new() {}
                ),
                "returns `Self` or `Result<Self>`",
            ),
            (
                quote!(
                    #[init]
                    async fn new() -> Self {}
                ),
                "#[init] is not async",
            ),
            (
                quote!(
                    #[init]
                    fn a() -> Self {}
                    #[init]
                    fn b() -> Self {}
                ),
                "#[init] already",
            ),
            (
                quote!(
                    #[endpoint("/a")]
                    fn a(&self) {}
                    #[endpoint("/a")]
                    fn b(&self) {}
                ),
                "of this name already",
            ),
            (
                quote!(
                    #[endpoint]
                    fn a(&self) {}
                    #[endpoint("b")]
                    fn b(&self) {}
                ),
                "#[endpoint(\"/name\")] | ",
            ),
        ] {
            check(none(), method(written), expected);
        }
    }

    #[test]
    fn an_executor_is_named_after_its_crate() {
        let item = || {
            quote! {
                /// Says
                /// hello.
                impl X { #[endpoint("/a")] fn a(&mut self) {} #[endpoint("/default")] fn b(&mut self) {} }
            }
        };
        check(quote!(), item(), "name : :: core :: env ! (\"CARGO_PKG_NAME\")");
        check(quote!(name = "x", stateful), item(), "name : \"x\"");
        check(quote!(name = "x", stateful), item(), "stateful : true");
        check(quote!(), item(), "description : \"Says hello.\"");
    }
}
