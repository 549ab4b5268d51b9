//! `#[derive(Document)]`: fields become columns.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Fields, Ident, LitStr, Type};

use crate::words::{unknown, wrong};

/// The implementation of `lockgate_sdk::Document`.
pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let fields = named_fields(&item)?.iter().map(Mapped::read).collect::<syn::Result<Vec<_>>>()?;
    let (skipped, mapped): (Vec<&Mapped>, Vec<&Mapped>) = fields.iter().partition(|field| field.skip);
    check_columns(&mapped)?;
    let name = &item.ident;
    let columns = mapped.iter().map(|Mapped { column, ty, .. }| {
        quote_spanned!(ty.span()=> (#column, <#ty as ::lockgate_sdk::Field>::KIND))
    });
    let reads = mapped.iter().map(|field| field.read_column());
    let takes = mapped.iter().map(|field| field.take_value());
    let skips = skipped.iter().map(
        |Mapped { name, ty, .. }| quote_spanned!(ty.span()=> #name: ::core::default::Default::default()),
    );
    let makes = mapped
        .iter()
        .map(|Mapped { local, .. }| quote!(let mut #local = ::std::vec::Vec::with_capacity(span.count());));
    let pushes = mapped.iter().map(|Mapped { local, name, .. }| quote!(#local.push(value.#name);));
    let writes = mapped.iter().map(|Mapped { local, column, ty, .. }| {
        quote_spanned!(ty.span()=> <#ty as ::lockgate_sdk::Field>::write(#column, span, #local)?;)
    });
    Ok(quote! {
        #[automatically_derived]
        impl ::lockgate_sdk::Document for #name {
            const COLUMNS: &'static [(&'static str, ::lockgate_sdk::Kind)] = &[#(#columns),*];

            fn read(span: &::lockgate_sdk::Span<'_>) -> ::lockgate_sdk::Result<::std::vec::Vec<Self>> {
                #(#reads)*
                (0..span.count()).map(|_| ::core::result::Result::Ok(Self { #(#takes,)* #(#skips,)* })).collect()
            }

            fn write(values: ::std::vec::Vec<Self>, span: &::lockgate_sdk::Span<'_>) -> ::lockgate_sdk::Result<()> {
                #(#makes)*
                for value in values {
                    #(#pushes)*
                }
                #(#writes)*
                ::core::result::Result::Ok(())
            }
        }
    })
}

struct Mapped {
    name: Ident,
    local: Ident,
    column: LitStr,
    ty: Type,
    default: bool,
    skip: bool,
}

impl Mapped {
    fn read(field: &Field) -> syn::Result<Self> {
        let Some(name) = field.ident.clone() else { return wrong(field, "a document's fields have names") };
        let column = LitStr::new(&name.unraw().to_string(), name.span());
        let local = format_ident!("column_{}", name.unraw());
        let mut mapped = Self { name, local, column, ty: field.ty.clone(), default: false, skip: false };
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("document")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("column") {
                    mapped.column = meta.value()?.parse()?;
                } else if meta.path.is_ident("default") {
                    mapped.default = true;
                } else if meta.path.is_ident("skip") {
                    mapped.skip = true;
                } else {
                    return Err(unknown(&meta.path, "#[document]", "column = \"...\", default and skip"));
                }
                Ok(())
            })?;
        }
        if mapped.column.value().is_empty() {
            return wrong(&mapped.column, "a column has a name");
        }
        Ok(mapped)
    }

    fn read_column(&self) -> TokenStream {
        let Self { local, column, ty, .. } = self;
        let stored =
            if self.default { quote_spanned!(ty.span()=> ::core::option::Option<#ty>) } else { quote!(#ty) };
        quote_spanned! {ty.span()=>
            let mut #local = <#stored as ::lockgate_sdk::Field>::read(#column, span)?.into_iter();
        }
    }

    fn take_value(&self) -> TokenStream {
        let Self { local, name, ty, .. } = self;
        let taken = quote!(::lockgate_sdk::private::take(&mut #local)?);
        if self.default {
            quote_spanned!(ty.span()=> #name: ::core::option::Option::unwrap_or_default(#taken))
        } else {
            quote!(#name: #taken)
        }
    }
}

fn named_fields(item: &DeriveInput) -> syn::Result<&syn::punctuated::Punctuated<Field, syn::Token![,]>> {
    if !item.generics.params.is_empty() {
        return wrong(&item.generics, "a typed document has no generic parameters");
    }
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            Fields::Unnamed(_) | Fields::Unit => {
                wrong(&item.ident, "a typed document is a struct with named fields")
            }
        },
        Data::Enum(_) | Data::Union(_) => {
            wrong(&item.ident, "a typed document is a struct, one row of columns")
        }
    }
}

fn check_columns(fields: &[&Mapped]) -> syn::Result<()> {
    for (index, field) in fields.iter().enumerate() {
        if fields.iter().take(index).any(|other| other.column.value() == field.column.value()) {
            return wrong(&field.name, format!("the column {:?} is mapped twice", field.column.value()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    #[test]
    fn misuse_is_named() {
        for (item, expected) in [
            (
                quote!(
                    enum X {
                        A,
                    }
                ),
                "is a struct, one row of columns",
            ),
            (
                quote!(
                    struct X(String);
                ),
                "with named fields",
            ),
            (
                quote!(
                    struct X<T> {
                        a: T,
                    }
                ),
                "no generic parameters",
            ),
            (
                quote!(
                    struct X {
                        #[document(name = "b")]
                        a: String,
                    }
                ),
                "it has column = \"...\", default and skip",
            ),
            (
                quote!(
                    struct X {
                        #[document(column = "")]
                        a: String,
                    }
                ),
                "a column has a name",
            ),
            (
                quote!(
                    struct X {
                        a: String,
                        #[document(column = "a")]
                        b: String,
                    }
                ),
                "\"a\" is mapped twice",
            ),
            (
                quote!(
                    struct X {
                        r#type: String,
                    }
                ),
                "(\"type\" ,",
            ),
        ] {
            words::check(expand(item), expected);
        }
    }
}
