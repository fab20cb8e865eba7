//! Any bytes are read as YAML or refused; what was read says the same when it is written as JSON and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_proto::yaml;

fuzz_target!(|bytes: &[u8]| {
    let Ok(documents) = yaml::parse_bytes(bytes) else { return };
    for document in &documents {
        let value = document.root.to_json();
        let Ok(again) = yaml::parse_one(&value.to_string()) else { panic!("its own JSON is refused: {value}") };
        assert_eq!(again.root.to_json(), value);
    }
});
