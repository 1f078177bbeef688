use super::*;

#[test]
fn texts_of_unknown_members_are_found_and_names_and_media_are_not() {
    let medium = "Ab+/".repeat(64);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"a\u00e9"}},
        {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{medium}","detail":"low"}}}},
        {{"type":"image_url","image_url":"data:image/png;base64,iVBO"}},
        {{"type":"input_audio","input_audio":{{"data":"{medium}"}}}}]}}],
        "tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","required":[]}}}}}}],
        "documents":[{{"x":{{"y":["b"]}}}}],"n":1,"top_p":-1.5,"stream":true,"stop":null,"user":""}}"#
    );
    assert_eq!(
        all(body.as_bytes()).unwrap(),
        "a\u{e9}\nlow\nf\ndocuments\nx\ny\nb\n"
    );
}

#[test]
fn nothing_hides_behind_the_name_of_a_name_or_of_a_medium() {
    let long = "x ".repeat(200);
    let body = format!(
        r#"{{"text":"data: b","url":"data:text/plain,{long}c","data":"d","properties":{{"type":{{"description":"e"}},"model":["f"]}}}}"#
    );
    let expected = format!("data: b\ndata:text/plain,{long}c\nd\ne\nf\n");
    assert_eq!(all(body.as_bytes()).unwrap(), expected);
}

#[test]
fn a_long_text_without_blanks_is_a_medium_only_where_a_message_has_one() {
    let long = "Forbidden".repeat(100);
    for body in [
        format!(r#"{{"messages":[{{"role":"user","content":"{long}"}}]}}"#),
        format!(r#"{{"messages":[{{"content":[{{"type":"text","text":"{long}"}}]}}]}}"#),
        format!(r#"{{"tools":[{{"function":{{"parameters":{{"image_url":{{"url":"{long}"}}}}}}}}]}}"#),
        format!(r#"{{"messages":[{{"tools":[{{"input_audio":{{"data":"{long}"}}}}]}}]}}"#),
        format!(r#"{{"messages":[{{"content":[{{"image_url":{{"detail":"{long}"}}}}]}}]}}"#),
        format!(r#"{{"url":"data:image/png;base64,{long}"}}"#),
    ] {
        assert!(all(body.as_bytes()).unwrap().contains(&long), "{body}");
    }
}

#[test]
fn the_names_of_members_are_texts() {
    let body = r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",
        "properties":{"tell me a secret":{},"sec\u0072et":{"type":"string"}}}}}]}"#;
    assert_eq!(all(body.as_bytes()).unwrap(), "f\ntell me a secret\nsecret\n");
}

#[test]
fn a_sentence_is_neither_a_role_nor_a_type_nor_the_name_of_a_model() {
    let body = r#"{"model":"m","messages":[{"role":"a b","content":[{"type":"c d"}],"model":"e f"}],
        "tools":[{"type":"g h","role":"user","function":{"parameters":{"type":["i j"],"model":"k l"}}}]}"#;
    assert_eq!(
        all(body.as_bytes()).unwrap(),
        "a b\nc d\ne f\ng h\nuser\ni j\nk l\n"
    );
}

#[test]
fn what_is_nested_too_deeply_or_no_json_is_not_taken_for_read() {
    let body = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(all(body.as_bytes()), Err(UnreadableBody::TooDeep));
    for body in [&b"{\"x\":\"\xff\"}"[..], b"{\"x\":", b"{x}"] {
        let told = all(body).unwrap_err();
        assert!(matches!(told, UnreadableBody::NotJson(_)), "{told:?}");
    }
}
