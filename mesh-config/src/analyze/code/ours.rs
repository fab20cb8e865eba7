//! Our own codes: what Istio does not see, and what this mesh would not do.

super::codes! {
    /// Our codes, by number.
    OURS:
    DUPLICATE_OBJECT = "MESH0001" Error "DuplicateObject", "{object} is also defined at {other}; that one is taken, this one is not read.",
        "Two files define one object.", "remove one of them, or give it another name or namespace";
    ROUTE_NEVER_MATCHES = "MESH0002" Warning "RouteNeverMatches", "Rule {rule} can never take a request: {reason}.",
        "Seen together with what is around it, a route matches nothing.", "put the narrower rule first, or correct the match";
    RETRY_STORM = "MESH0003" Warning "RetryStorm", "Retries of rule {rule} do more harm than good: {reason}.",
        "Retries that multiply the load of a service in trouble, or that cannot happen.", "lower retries.attempts, or raise the timeout to attempts + 1 tries";
    TIMEOUT_SHORTER_THAN_TRY = "MESH0004" Warning "TimeoutShorterThanTry",
        "The timeout {timeout} of rule {rule} ends before one try may ({perTry}): the first try takes it all and none is repeated.",
        "A route's timeout is shorter than its perTryTimeout.", "set perTryTimeout to at most timeout / (attempts + 1)";
    SUBSET_WITHOUT_ENDPOINTS = "MESH0005" Warning "SubsetWithoutEndpoints", "Subset {subset} of {host} has no endpoints: none of the workloads known for it ({count}) has the labels {labels}.",
        "A subset selects none of the workloads that are known.", "compare the subset's labels with those of the workloads (Deployment templates, WorkloadEntries, endpoints)";
    POLICY_LOCKS_OUT_GATEWAY = "MESH0006" Warning "PolicyLocksOutGateway", "The policy locks out its gateway: {reason}.",
        "An AuthorizationPolicy admits nobody who comes through the gateway.", "admit the gateway's identity, or use what a gateway can know (ipBlocks, requestPrincipals, hosts, paths)";
    ENVOY_FILTER_HAS_TYPED_REPLACEMENT = "MESH0007" Info "EnvoyFilterHasTypedReplacement", "The patch of {what} can be said without an EnvoyFilter: {replacement}.",
        "A typed resource does the same and survives upgrades.", "use the resource that the message names";
    SERVER_FIRST_ON_SNIFFED_PORT = "MESH0008" Warning "ServerFirstOnSniffedPort",
        "Port {port} seems to speak {protocol}, where the server speaks first, and declares no protocol: the proxy waits for the client's first bytes, and both wait.",
        "A protocol where the server speaks first cannot be found out from the client's first bytes.", "name the port tcp-<name> (mysql-<name> for MySQL), or set appProtocol: tcp";
    NOT_ENFORCED = "MESH0009" Warning "NotEnforced", "{what} is not acted upon by this mesh yet: {effect}.",
        "A kind or field that is read, checked and distributed, and has no effect in the data path.", "do not rely on it here; leave it in place for Istio's own proxies";
    SECURITY_NOT_ENFORCED = "MESH0010" Error "SecurityNotEnforced", "{what} is not acted upon by this mesh yet: {effect}.",
        "A guard that this mesh does not provide.", "do not put such a workload behind this mesh yet, or guard it by other means (AuthorizationPolicy with principals, mTLS)";
    STRICT_MTLS_CONTRADICTED = "MESH0011" Error "StrictMtlsContradicted",
        "Clients speak {mode} to {host}, whose workloads take mutual TLS only (PeerAuthentication {policy}): every call fails.",
        "A DestinationRule makes clients speak what a PeerAuthentication refuses.", "set the mode to ISTIO_MUTUAL, or leave trafficPolicy.tls out";
    REQUEST_PRINCIPAL_WITHOUT_REQUEST_AUTHENTICATION = "MESH0012" Error "RequestPrincipalWithoutRequestAuthentication",
        "The policy asks for {attribute}, and no RequestAuthentication reads tokens for its workloads: no request ever has it, so {effect}.",
        "A policy judges by a token that nobody reads.", "add a RequestAuthentication for the same workloads";
    SERVICE_ENTRY_OVERLAPS_SERVICE = "MESH0013" Warning "ServiceEntryOverlapsService",
        "Host {host} is also the Kubernetes Service {service}: which of the two a caller reaches depends on its namespace.",
        "A ServiceEntry takes a host that a Service has.", "give the ServiceEntry a host of its own, or remove it";
    DELEGATE_NOT_FOUND = "MESH0014" Error "DelegateNotFound", "Rule {rule} delegates to {delegate}, {reason}: the rule is dropped.",
        "A VirtualService delegates to nothing.", "create it without hosts, in the namespace that the delegate names";
    NOBODY_DELEGATES = "MESH0015" Warning "NobodyDelegates", "The VirtualService has no hosts, and no VirtualService delegates to it: it has no effect.",
        "A delegate that nobody uses.", "add hosts, or a delegate rule that names it";
}
