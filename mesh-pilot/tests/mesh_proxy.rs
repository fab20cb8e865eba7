//! What Pilot writes, our own proxy takes: every resource of every golden case goes through its parser.
#![allow(clippy::unwrap_used)]

mod case;

use std::fs;

use mesh_proto::type_url;
use mesh_proxy::xds::Assembler;

/// In the order of a stream.
const TYPES: [&str; 5] = [type_url::CLUSTER, type_url::ENDPOINT, type_url::LISTENER, type_url::ROUTE, type_url::SECRET];
/// In a case: our proxy has not all of these filters, and answers 500 in their place.
const REFUSES: &str = "# mesh-proxy refuses\n";
/// Certificates that a case has in files, which are not here.
const FILES: &str = "cannot read /etc/certs/";

#[test]
fn nothing_is_refused() {
    let mut wrong = Vec::new();
    for file in case::files() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let input = fs::read_to_string(&file).unwrap();
        let mut refuses = false;
        for proxy in case::proxies(&input, &name) {
            let mut assembler = Assembler::new();
            for url in TYPES {
                let resources: Vec<_> = proxy.snapshot.resources(url).into_iter().flat_map(|list| list.values().cloned()).collect();
                let rejections = assembler.apply(url, &resources, &[]);
                for rejection in rejections.into_iter().filter(|rejection| !rejection.reason.contains(FILES)) {
                    wrong.push(format!("{name} {}: {}: {}", proxy.id, rejection.name, rejection.reason));
                }
            }
            // Filters and routes that would answer 500.
            let refusing = assembler.refusing();
            refuses |= !refusing.is_empty();
            if !input.contains(REFUSES) {
                wrong.extend(refusing.into_iter().map(|refusing| format!("{name} {}: {refusing}", proxy.id)));
            }
            if std::env::var_os("SHOW_IGNORED").is_some() {
                wrong.extend(assembler.ignored().into_iter().map(|ignored| format!("{name}: ignored {ignored}")));
            }
        }
        if input.contains(REFUSES) && !refuses {
            wrong.push(format!("{name}: says that something is refused, and nothing is"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
