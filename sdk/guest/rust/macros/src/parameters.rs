//! `#[derive(Parameters)]`: a struct becomes a JSON Schema.
//!
//! Only what the syntax tells is said: a type that is not known here gets a description and no
//! type. Names and defaults follow serde's attributes, so that the schema is what serde accepts.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Field, Fields, LitStr, Type};

use crate::words::{argument, description, is_named, wrong};

/// The implementation of `lockgate_sdk::Parameters`.
pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let container = Serde::read(&item.attrs)?;
    let fields = match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            Fields::Unnamed(_) | Fields::Unit => {
                return wrong(&item.ident, "parameters are a struct with named fields");
            }
        },
        Data::Enum(_) | Data::Union(_) => {
            return wrong(&item.ident, "parameters are a struct with named fields");
        }
    };
    let (mut properties, mut required) = (Vec::new(), Vec::new());
    for field in fields {
        let serde = Serde::read(&field.attrs)?;
        if serde.skip {
            continue;
        }
        let name = name(field, &serde, &container);
        let schema = schema(field);
        properties.push(format!("{}:{schema}", quoted(&name)));
        if !(container.default || serde.default || is_named(&field.ty, "Option")) {
            required.push(quoted(&name));
        }
    }
    let mut entries = vec![String::from(r#""type":"object""#)];
    if !required.is_empty() {
        entries.push(format!(r#""required":[{}]"#, required.join(",")));
    }
    if container.deny_unknown_fields {
        entries.push(r#""additionalProperties":false"#.into());
    }
    entries.push(format!(r#""properties":{{{}}}"#, properties.join(",")));
    let schema = format!("{{{}}}", entries.join(","));
    let name = &item.ident;
    let (generics, types, clause) = item.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::lockgate_sdk::Parameters for #name #types #clause {
            const SCHEMA: &'static str = #schema;
        }
    })
}

/// What serde's attributes say about names and presence.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    rename_all: Option<String>,
    default: bool,
    skip: bool,
    deny_unknown_fields: bool,
}

impl Serde {
    fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut serde = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                let text = |meta: &syn::meta::ParseNestedMeta<'_>| {
                    meta.value()?.parse::<LitStr>().map(|text| text.value())
                };
                if meta.path.is_ident("rename") && meta.input.peek(syn::Token![=]) {
                    serde.rename = Some(text(&meta)?);
                } else if meta.path.is_ident("rename_all") && meta.input.peek(syn::Token![=]) {
                    serde.rename_all = Some(text(&meta)?);
                } else {
                    serde.default |= meta.path.is_ident("default");
                    serde.skip |= meta.path.is_ident("skip") || meta.path.is_ident("skip_deserializing");
                    serde.deny_unknown_fields |= meta.path.is_ident("deny_unknown_fields");
                    // Options that say nothing here still have to be read past.
                    if meta.input.peek(syn::Token![=]) {
                        meta.value()?.parse::<syn::Expr>()?;
                    } else if meta.input.peek(syn::token::Paren) {
                        let inner;
                        syn::parenthesized!(inner in meta.input);
                        inner.parse::<TokenStream>()?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(serde)
    }
}

fn name(field: &Field, serde: &Serde, container: &Serde) -> String {
    let plain = field.ident.as_ref().map(|name| name.unraw().to_string()).unwrap_or_default();
    if let Some(name) = &serde.rename {
        return name.clone();
    }
    let words = plain.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    let pascal = || words.iter().map(|word| capital(word)).collect::<String>();
    match container.rename_all.as_deref() {
        Some("camelCase") => {
            let mut letters = pascal().chars().collect::<Vec<_>>().into_iter();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
        Some("PascalCase") => pascal(),
        Some("kebab-case") => plain.replace('_', "-"),
        Some("SCREAMING-KEBAB-CASE") => plain.replace('_', "-").to_uppercase(),
        Some("UPPERCASE" | "SCREAMING_SNAKE_CASE") => plain.to_uppercase(),
        _ => plain,
    }
}

fn schema(field: &Field) -> String {
    let description = description(&field.attrs);
    let mut entries = type_entries(&field.ty);
    if !description.is_empty() {
        entries.push(format!(r#""description":{}"#, quoted(&description)));
    }
    format!("{{{}}}", entries.join(","))
}

fn type_entries(ty: &Type) -> Vec<String> {
    const NAMES: [(&str, &[&str]); 4] = [
        ("string", &["String", "str", "char"]),
        ("boolean", &["bool"]),
        ("number", &["f32", "f64"]),
        ("integer", &["i8", "i16", "i32", "i64", "i128", "isize", "NonZeroU32", "NonZeroUsize"]),
    ];
    if let Some(inner) = argument(ty, "Option").or_else(|| argument(ty, "Box")) {
        return type_entries(inner);
    }
    if let Some(inner) = argument(ty, "Vec") {
        return vec![r#""type":"array""#.into(), format!(r#""items":{{{}}}"#, type_entries(inner).join(","))];
    }
    if is_named(ty, "HashMap") || is_named(ty, "BTreeMap") {
        return vec![r#""type":"object""#.into()];
    }
    if ["u8", "u16", "u32", "u64", "u128", "usize"].iter().any(|name| is_named(ty, name)) {
        return vec![r#""type":"integer","minimum":0"#.into()];
    }
    let known = NAMES.iter().find(|(_, names)| names.iter().any(|name| is_named(ty, name)));
    known.map(|(name, _)| format!(r#""type":"{name}""#)).into_iter().collect()
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\0'..=' ' => json.push(' '),
            _ => json.push(letter),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    #[test]
    fn serde_names_the_properties() {
        let item = quote! {
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            struct Search {
                /// How many "at most".
                #[serde(default = "ten", alias = "k")]
                top_k: usize,
                #[serde(rename = "where")]
                filter: Option<Vec<String>>,
                query_text: String,
                #[serde(skip)]
                hidden: u8,
            }
        };
        let schema = concat!(
            r#"{"type":"object","required":["queryText"],"additionalProperties":false,"properties":{"#,
            r#""topK":{"type":"integer","minimum":0,"description":"How many \"at most\"."},"#,
            r#""where":{"type":"array","items":{"type":"string"}},"queryText":{"type":"string"}}}"#,
        );
        words::check(expand(item), &format!("{schema:?}"));
        words::check(
            expand(quote!(
                enum X {
                    A,
                }
            )),
            "parameters are a struct",
        );
    }
}
