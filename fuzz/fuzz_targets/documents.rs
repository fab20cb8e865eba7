//! Any bytes as a file of resources, of whatever kinds they name: nothing panics, and what is taken reads back as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_config::{load, resource::Resource};

fuzz_target!(|bytes: &[u8]| {
    let loaded = load::documents("fuzz.yaml", bytes);
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.to_string().is_empty());
    }
    for object in &loaded.objects {
        let json = object.resource.to_json();
        let again = Resource::from_json(object.resource.kind(), &json);
        assert_eq!(again.as_ref(), Ok(&object.resource), "{json}");
    }
});
