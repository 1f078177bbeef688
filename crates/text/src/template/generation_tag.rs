//! `{% generation %}`: a tag of the transformers library that marks what a model is trained on.

/// Replaces the tag by a block that always renders. Its white-space signs stay, so the output is
/// the same as there.
pub(crate) fn without_generation_tags(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        output.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (inside, after) = tag.split_at(end);
        let replacement = match inside.trim_matches(['-', '+']).trim() {
            "generation" => Some(inside.replace("generation", "if true")),
            "endgeneration" => Some(inside.replace("endgeneration", "endif")),
            _ => None,
        };
        output.push_str(replacement.as_deref().unwrap_or(inside));
        rest = after;
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_blocks_that_always_render() {
        assert_eq!(
            without_generation_tags("a{%- generation %}b{% endgeneration -%}c"),
            "a{%- if true %}b{% endif -%}c"
        );
        let other = "{% if generation %}x{% endif %}{{ '{%' }}";
        assert_eq!(without_generation_tags(other), other);
    }
}
