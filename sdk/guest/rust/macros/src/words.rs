//! Small readings of syntax that several attributes share.

use syn::{Attribute, Error, Expr, Lit, Meta, Path, Type};

/// The text of doc comments, paragraphs kept, joined lines trimmed.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let text: Vec<String> = lines
        .flat_map(|text| text.split('\n').map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let paragraphs =
        text.split(String::is_empty).filter(|lines| !lines.is_empty()).map(|lines| lines.join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Whether a type is this path, by its last segment.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == name),
        _ => false,
    }
}

/// The first type argument of `Name<T>`.
pub(crate) fn argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// An option that does not exist, with those that do.
pub(crate) fn unknown(path: &Path, of: &str, known: &str) -> Error {
    Error::new_spanned(path, format!("{of} has no such option; it has {known}"))
}

/// An error at these tokens.
pub(crate) fn wrong<T>(tokens: impl quote::ToTokens, message: impl std::fmt::Display) -> syn::Result<T> {
    Err(Error::new_spanned(tokens, message))
}

/// One compile error for several.
pub(crate) fn collect(errors: Vec<Error>) -> syn::Result<()> {
    errors
        .into_iter()
        .reduce(|mut all, error| {
            all.combine(error);
            all
        })
        .map_or(Ok(()), Err)
}

#[cfg(test)]
pub(crate) fn check(result: syn::Result<proc_macro2::TokenStream>, expected: &str) {
    let messages = match result {
        Ok(tokens) => tokens.to_string(),
        Err(errors) => errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join(" | "),
    };
    assert!(messages.contains(expected), "{expected:?} is not in {messages:?}");
}
