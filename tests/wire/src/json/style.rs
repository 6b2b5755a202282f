use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, Value as Field,
};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(mainstay_proto::FILE_DESCRIPTORS).unwrap_or_default());

/// Writes a message as JSON, each part in one of the forms a server must take.
pub fn write(rng: &mut StdRng, name: &str, message: &impl Message) -> Value {
    let Some(shape) = POOL.get_message_by_name(name) else {
        return Value::Null;
    };
    let bytes = message.encode_to_vec();
    match DynamicMessage::decode(shape, bytes.as_slice()) {
        Ok(message) => object(rng, &message),
        Err(_) => Value::Null,
    }
}

fn object(rng: &mut StdRng, message: &DynamicMessage) -> Value {
    let mut fields = Map::new();
    for (field, value) in message.fields() {
        let name = if rng.random_bool(0.5) {
            field.name()
        } else {
            field.json_name()
        };
        fields.insert(name.to_owned(), part(rng, &field, value));
    }
    if rng.random_bool(0.05) {
        let unknown = json!({"of": ["a", {"newer": true}], "version": null});
        fields.insert("not_a_field".to_owned(), unknown);
    }
    Value::Object(fields)
}

fn part(rng: &mut StdRng, field: &FieldDescriptor, value: &Field) -> Value {
    let number = |rng: &mut StdRng, text: String| match rng.random_bool(0.5) {
        // What a double cannot hold is told as a string, as every client does.
        true if text.len() < 15 => text
            .parse::<i64>()
            .map_or(json!(text), |number| json!(number)),
        _ => json!(text),
    };
    match value {
        Field::Bool(value) => json!(value),
        Field::I32(value) => number(rng, value.to_string()),
        Field::I64(value) => number(rng, value.to_string()),
        Field::U32(value) => number(rng, value.to_string()),
        Field::U64(value) => number(rng, value.to_string()),
        Field::String(value) => json!(value),
        Field::Bytes(value) => {
            let engine = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
            json!(engine[rng.random_range(0..4)].encode(value))
        }
        Field::EnumNumber(value) => match field.kind() {
            Kind::Enum(shape) => name_or_number(rng, &shape, *value),
            _ => json!(value),
        },
        Field::Message(value) => object(rng, value),
        Field::List(items) => items.iter().map(|item| part(rng, field, item)).collect(),
        // The contract has no floats and no maps.
        _ => Value::Null,
    }
}

fn name_or_number(rng: &mut StdRng, shape: &EnumDescriptor, value: i32) -> Value {
    match shape.get_value(value) {
        Some(known) if rng.random_bool(0.5) => json!(known.name()),
        _ => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::RangeRequest;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_form_turns_up() {
        let range = RangeRequest {
            key: vec![0xfb, 0xff].into(),
            range_end: "b".into(),
            limit: 7,
            sort_order: 2,
            ..Default::default()
        };
        let mut rng = StdRng::seed_from_u64(1);
        let texts: Vec<String> = (0..200)
            .map(|_| write(&mut rng, "etcdserverpb.RangeRequest", &range).to_string())
            .collect();
        for form in [
            "\"range_end\"",
            "\"rangeEnd\"",
            "\"+/8=\"",
            "\"-_8\"",
            ":7",
            ":\"7\"",
            "DESCEND",
            "\"sortOrder\":2",
            "not_a_field",
        ] {
            assert!(texts.iter().any(|text| text.contains(form)), "{form}");
        }
    }
}
