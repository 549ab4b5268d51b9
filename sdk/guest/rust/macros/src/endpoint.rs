//! `#[endpoint]`: what a method is called, what it takes, and how it is called.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, Ident, ImplItemFn, LitStr, ReturnType, Token, Type, parenthesized};

use crate::words::{argument, description, is_named, wrong};

/// A method that clients can address.
pub(crate) struct Endpoint {
    pub(crate) name: LitStr,
    options: Options,
    description: String,
    method: Ident,
    takes: Vec<Takes>,
    output: Option<Type>,
}

/// What one argument is filled with.
enum Takes {
    Documents,
    Request,
    Typed { list: Box<Type>, document: Box<Type> },
    Parameters(Box<Type>),
}

impl Endpoint {
    /// Reads the attribute and the method that it stands on.
    pub(crate) fn read(attribute: &Attribute, method: &ImplItemFn) -> syn::Result<Self> {
        let missing = |error| match attribute.meta {
            syn::Meta::List(_) => error,
            _ => Error::new_spanned(attribute, "name the endpoint: #[endpoint(\"/name\")]"),
        };
        let Named { name, options } = attribute.parse_args().map_err(missing)?;
        check_name(&name)?;
        check_method(method)?;
        let takes = method.sig.inputs.iter().skip(1).map(takes).collect::<syn::Result<Vec<_>>>()?;
        check_takes(method, &takes)?;
        let output = match &method.sig.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => Some((**ty).clone()),
        };
        let method_name = method.sig.ident.clone();
        Ok(Self {
            name,
            options,
            description: description(&method.attrs),
            method: method_name,
            takes,
            output,
        })
    }

    /// The endpoint's entry of the manifest.
    pub(crate) fn manifest(&self) -> TokenStream {
        let Self { name, description, .. } = self;
        let Options { reads, writes, streaming } = &self.options;
        let typed_reads = self.takes.iter().find_map(|takes| match takes {
            Takes::Typed { document, .. } => {
                Some(quote_spanned!(document.span()=> <#document as ::lockgate_sdk::Document>::COLUMNS))
            }
            _ => None,
        });
        let typed_reads = typed_reads.unwrap_or_else(|| quote!(&[]));
        let typed_writes = self.output.as_ref().map_or_else(
            || quote!(&[]),
            |output| quote_spanned!(output.span()=> <#output as ::lockgate_sdk::IntoReply>::COLUMNS),
        );
        let parameters = self.takes.iter().find_map(|takes| match takes {
            Takes::Parameters(ty) => Some(quote!({
                #[allow(unused_imports, reason = "used when the parameters do not describe themselves")]
                use ::lockgate_sdk::private::DescribedByDefault as _;
                ::lockgate_sdk::private::Probe::<#ty>::SCHEMA
            })),
            _ => None,
        });
        let parameters = parameters.unwrap_or_else(|| quote!(::core::option::Option::None));
        quote! {
            ::lockgate_sdk::Endpoint {
                name: #name,
                description: #description,
                reads: (&[#(#reads),*], #typed_reads),
                writes: (&[#(#writes),*], #typed_writes),
                parameters: #parameters,
                streaming: #streaming,
            }
        }
    }

    /// The expression that calls the method, of type `lockgate_sdk::Result<()>`.
    pub(crate) fn call(&self) -> TokenStream {
        let method = &self.method;
        let bindings = self.takes.iter().enumerate().map(|(index, takes)| {
            let name = quote::format_ident!("argument_{index}");
            match takes {
                Takes::Documents | Takes::Request => quote!(),
                Takes::Typed { list, document } => {
                    quote_spanned!(document.span()=> let #name: #list = documents.read::<#document>()?;)
                }
                Takes::Parameters(ty) => {
                    quote_spanned!(ty.span()=> let #name = request.parameters::<#ty>()?;)
                }
            }
        });
        let arguments = self.takes.iter().enumerate().map(|(index, takes)| match takes {
            Takes::Documents => quote!(documents),
            Takes::Request => quote!(request),
            Takes::Typed { .. } | Takes::Parameters(_) => {
                let name = quote::format_ident!("argument_{index}");
                quote!(#name)
            }
        });
        let span = self.output.as_ref().map_or_else(|| method.span(), Spanned::span);
        let called = quote_spanned!(method.span()=> self.#method(#(#arguments),*));
        let replied = quote_spanned!(span=> ::lockgate_sdk::IntoReply::into_reply(reply, documents));
        quote!({
            #(#bindings)*
            let reply = #called;
            #replied
        })
    }
}

/// `"/name", reads("a", "b"), writes("c"), streaming`
struct Named {
    name: LitStr,
    options: Options,
}

#[derive(Default)]
struct Options {
    reads: Vec<LitStr>,
    writes: Vec<LitStr>,
    streaming: bool,
}

impl Parse for Named {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input
            .parse()
            .map_err(|error: Error| Error::new(error.span(), "name the endpoint: #[endpoint(\"/name\")]"))?;
        let mut options = Options::default();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let option: Ident = input.parse()?;
            match option.to_string().as_str() {
                "reads" => options.reads = columns(input)?,
                "writes" => options.writes = columns(input)?,
                "streaming" => options.streaming = true,
                _ => {
                    let known = "reads(\"column\"), writes(\"column\") and streaming";
                    return wrong(option, format!("#[endpoint] has no such option; it has {known}"));
                }
            }
        }
        Ok(Self { name, options })
    }
}

fn columns(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let list;
    parenthesized!(list in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter().collect())
}

fn check_name(name: &LitStr) -> syn::Result<()> {
    let text = name.value();
    let Some(rest) = text.strip_prefix('/') else {
        return wrong(name, format!("an endpoint starts with a slash: #[endpoint(\"/{text}\")]"));
    };
    if rest.is_empty() || rest.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return wrong(name, "an endpoint has a name after its slash, without white space");
    }
    Ok(())
}

fn check_method(method: &ImplItemFn) -> syn::Result<()> {
    let signature = &method.sig;
    if let Some(token) = &signature.asyncness {
        return wrong(token, "an endpoint is not async: an instance serves one call at a time");
    }
    if !signature.generics.params.is_empty() {
        return wrong(&signature.generics, "an endpoint has no generic parameters");
    }
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() => Ok(()),
        Some(FnArg::Receiver(receiver)) => {
            wrong(receiver, "an endpoint borrows the executor: `&self` or `&mut self`")
        }
        _ => wrong(&signature.ident, "an endpoint's first argument is `&self` or `&mut self`"),
    }
}

fn takes(input: &FnArg) -> syn::Result<Takes> {
    let FnArg::Typed(input) = input else { return wrong(input, "there is a self already") };
    match &*input.ty {
        Type::Reference(reference) if is_named(&reference.elem, "Documents") => Ok(Takes::Documents),
        Type::Reference(reference) if is_named(&reference.elem, "Request") => match reference.mutability {
            Some(token) => wrong(token, "a request cannot be changed: take `&Request`"),
            None => Ok(Takes::Request),
        },
        Type::Reference(_) | Type::Slice(_) | Type::ImplTrait(_) => {
            let may =
                "`&mut Documents`, `&Request`, `Vec<T>` of typed documents, or a type of parameters by value";
            wrong(&input.ty, format!("an endpoint cannot take this; it may take {may}"))
        }
        ty if is_named(ty, "Documents") => {
            wrong(ty, "the documents stay with the host: take `&mut Documents`")
        }
        ty if is_named(ty, "Request") => wrong(ty, "the request stays with the host: take `&Request`"),
        ty => Ok(match argument(ty, "Vec") {
            Some(document) => {
                Takes::Typed { list: Box::new(ty.clone()), document: Box::new(document.clone()) }
            }
            None => Takes::Parameters(Box::new(ty.clone())),
        }),
    }
}

fn check_takes(method: &ImplItemFn, takes: &[Takes]) -> syn::Result<()> {
    let mut seen = Vec::new();
    for (input, takes) in method.sig.inputs.iter().skip(1).zip(takes) {
        let kind = std::mem::discriminant(takes);
        if seen.contains(&kind) {
            return match takes {
                Takes::Parameters(_) => {
                    wrong(input, "an endpoint has one type of parameters: put them into one struct")
                }
                _ => wrong(input, "an endpoint takes this only once"),
            };
        }
        seen.push(kind);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;
    use crate::words;

    fn check(attribute: &Attribute, method: ImplItemFn, expected: &str) {
        words::check(
            Endpoint::read(attribute, &method).map(|endpoint| {
                let (manifest, call) = (endpoint.manifest(), endpoint.call());
                quote!(#manifest #call)
            }),
            expected,
        );
    }

    #[test]
    fn misuse_is_named() {
        let plain: ImplItemFn = parse_quote!(
            fn a(&mut self) {}
        );
        for (attribute, expected) in [
            (parse_quote!(#[endpoint]), "name the endpoint"),
            (parse_quote!(#[endpoint(3)]), "name the endpoint"),
            (parse_quote!(#[endpoint("a")]), "starts with a slash: #[endpoint(\"/a\")]"),
            (parse_quote!(#[endpoint("/")]), "has a name after its slash"),
            (parse_quote!(#[endpoint("/a b")]), "without white space"),
            (parse_quote!(#[endpoint("/a", read("x"))]), "no such option; it has reads"),
        ] {
            check(&attribute, plain.clone(), expected);
        }
        let attribute: Attribute = parse_quote!(#[endpoint("/a")]);
        for (method, expected) in [
            (
                parse_quote!(
                    fn a() {}
                ),
                "first argument is `&self`",
            ),
            (
                parse_quote!(
                    fn a(self) {}
                ),
                "borrows the executor",
            ),
            (
                parse_quote!(
                    async fn a(&self) {}
                ),
                "not async",
            ),
            (
                parse_quote!(
                    fn a<T>(&self) {}
                ),
                "no generic parameters",
            ),
            (
                parse_quote!(
                    fn a(&self, documents: Documents) {}
                ),
                "take `&mut Documents`",
            ),
            (
                parse_quote!(
                    fn a(&self, request: Request) {}
                ),
                "take `&Request`",
            ),
            (
                parse_quote!(
                    fn a(&self, request: &mut Request) {}
                ),
                "cannot be changed",
            ),
            (
                parse_quote!(
                    fn a(&self, documents: &[Query]) {}
                ),
                "it may take `&mut Documents`",
            ),
            (
                parse_quote!(
                    fn a(&self, a: One, b: Two) {}
                ),
                "put them into one struct",
            ),
            (
                parse_quote!(
                    fn a(&self, a: &Request, b: &Request) {}
                ),
                "only once",
            ),
        ] {
            check(&attribute, method, expected);
        }
    }

    #[test]
    fn arguments_are_filled_by_type() {
        let attribute: Attribute = parse_quote!(#[endpoint("/a", reads("x"), writes("y", "z"), streaming)]);
        let method: ImplItemFn = parse_quote! {
            fn a(&self, p: sdk::P, input: Vec<Q>, request: &sdk::Request, documents: &mut Documents) -> Result<Vec<A>> {}
        };
        for expected in [
            "self . a (argument_0 , argument_1 , request , documents)",
            "request . parameters :: < sdk :: P > () ?",
            "documents . read :: < Q > () ?",
            "reads : (& [\"x\"] , < Q as :: lockgate_sdk :: Document > :: COLUMNS)",
            "streaming : true",
        ] {
            check(&attribute, method.clone(), expected);
        }
    }
}
