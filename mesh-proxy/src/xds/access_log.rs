//! Access logs and their filters. A sink or filter that is not implemented costs an observation, never a request: it is listed as ignored.

use std::sync::Arc;

use mesh_proto::envoy::{
    config::accesslog::v3::{
        AccessLog as WireLog, AccessLogFilter, AndFilter, ComparisonFilter, DurationFilter, HeaderFilter, NotHealthCheckFilter, OrFilter,
        ResponseFlagFilter, RuntimeFilter, StatusCodeFilter, TraceableFilter, access_log::ConfigType, access_log_filter::FilterSpecifier,
        comparison_filter::Op,
    },
    config::core::v3::RuntimeUInt32,
    extensions::access_loggers::{
        file::v3::{FileAccessLog, file_access_log::AccessLogFormat},
        stream::v3::{StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log},
    },
};

use super::{
    any::Typed,
    context::{Context, Result, ignored},
    log_format::{self, Unknown},
    scalar, text,
};
use crate::snapshot::{AccessLog, Comparison, LogFilter, LogFormat, LogSink, Percent};

/// A list of access logs.
pub(crate) fn logs(cx: &mut Context<'_>, name: &str, wire: &[WireLog]) -> Result<Vec<Arc<AccessLog>>> {
    let logs = cx.each(name, wire, log)?;
    Ok(logs.into_iter().flatten().map(Arc::new).collect())
}

fn log(cx: &mut Context<'_>, wire: &WireLog) -> Result<Option<AccessLog>> {
    let WireLog { name: _, filter, config_type } = wire;
    let filter = match filter {
        Some(wire) => Some(cx.field("filter", |cx| log_filter(cx, wire))?),
        None => None,
    };
    let config = config_type.as_ref().map(|ConfigType::TypedConfig(any)| any);
    let sink = cx.field("typed_config", |cx| {
        let typed = Typed::required(cx, config)?;
        sink(cx, &typed)
    })?;
    Ok(sink.map(|(sink, format)| AccessLog { sink, format, filter }))
}

fn sink(cx: &mut Context<'_>, typed: &Typed<'_>) -> Result<Option<(LogSink, LogFormat)>> {
    Ok(Some(match typed.name() {
        "envoy.extensions.access_loggers.file.v3.FileAccessLog" => {
            let FileAccessLog { path, access_log_format } = typed.decode(cx)?;
            let sink = match path.as_str() {
                "" => return Err(cx.refuse_field("path", "is empty")),
                "/dev/stdout" => LogSink::Stdout,
                "/dev/stderr" => LogSink::Stderr,
                _ => LogSink::File(path.into()),
            };
            (sink, file_format(cx, access_log_format)?)
        }
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog" => {
            let StdoutAccessLog { access_log_format } = typed.decode(cx)?;
            let format = access_log_format.map(|stdout_access_log::AccessLogFormat::LogFormat(format)| format);
            (LogSink::Stdout, stream_format(cx, format.as_ref())?)
        }
        "envoy.extensions.access_loggers.stream.v3.StderrAccessLog" => {
            let StderrAccessLog { access_log_format } = typed.decode(cx)?;
            let format = access_log_format.map(|stderr_access_log::AccessLogFormat::LogFormat(format)| format);
            (LogSink::Stderr, stream_format(cx, format.as_ref())?)
        }
        _ => {
            cx.ignore("");
            return Ok(None);
        }
    }))
}

fn stream_format(
    cx: &mut Context<'_>,
    format: Option<&mesh_proto::envoy::config::core::v3::SubstitutionFormatString>,
) -> Result<LogFormat> {
    match format {
        None => log_format::default(cx),
        Some(format) => cx.field("log_format", |cx| log_format::substitution(cx, format)),
    }
}

#[expect(deprecated, reason = "control planes still send the old forms")]
fn file_format(cx: &mut Context<'_>, format: Option<AccessLogFormat>) -> Result<LogFormat> {
    match format {
        None => log_format::default(cx),
        Some(AccessLogFormat::Format(format)) if format.is_empty() => log_format::default(cx),
        Some(AccessLogFormat::Format(format)) => {
            cx.field("format", |cx| log_format::text(cx, &format, false, Unknown::Dash)).map(|format| LogFormat::Text(format.into()))
        }
        Some(AccessLogFormat::JsonFormat(format) | AccessLogFormat::TypedJsonFormat(format)) => {
            cx.field("json_format", |cx| log_format::json(cx, &format, false))
        }
        Some(AccessLogFormat::LogFormat(format)) => cx.field("log_format", |cx| log_format::substitution(cx, &format)),
    }
}

fn log_filter(cx: &mut Context<'_>, wire: &AccessLogFilter) -> Result<LogFilter> {
    let AccessLogFilter { filter_specifier } = wire;
    Ok(match filter_specifier {
        None => return Err(cx.refuse("is empty")),
        Some(FilterSpecifier::StatusCodeFilter(StatusCodeFilter { comparison })) => {
            LogFilter::Status(cx.field("status_code_filter", |cx| compare(cx, comparison.as_ref()))?)
        }
        Some(FilterSpecifier::DurationFilter(DurationFilter { comparison })) => {
            LogFilter::Duration(cx.field("duration_filter", |cx| compare(cx, comparison.as_ref()))?)
        }
        Some(FilterSpecifier::NotHealthCheckFilter(NotHealthCheckFilter {}) | FilterSpecifier::TraceableFilter(TraceableFilter {})) => {
            LogFilter::NotHealthCheck
        }
        Some(FilterSpecifier::RuntimeFilter(wire)) => cx.field("runtime_filter", |cx| {
            let RuntimeFilter { runtime_key, percent_sampled, use_independent_randomness } = wire;
            ignored!(cx; runtime_key, use_independent_randomness);
            let none = Percent { numerator: 0, denominator: 100 };
            let share = percent_sampled.as_ref().map(|share| scalar::fraction(cx, "percent_sampled", share)).transpose()?;
            Ok(LogFilter::Fraction(share.unwrap_or(none)))
        })?,
        Some(FilterSpecifier::AndFilter(AndFilter { filters })) => {
            LogFilter::And(cx.field("and_filter", |cx| cx.each("filters", filters, log_filter))?)
        }
        Some(FilterSpecifier::OrFilter(OrFilter { filters })) => {
            LogFilter::Or(cx.field("or_filter", |cx| cx.each("filters", filters, log_filter))?)
        }
        Some(FilterSpecifier::HeaderFilter(HeaderFilter { header })) => cx.field("header_filter.header", |cx| {
            let header = header.as_ref().ok_or_else(|| cx.refuse("is missing"))?;
            text::header(cx, header).map(LogFilter::Header)
        })?,
        Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter { flags })) => {
            LogFilter::Flags(flags.iter().map(|flag| flag.as_str().into()).collect())
        }
        Some(FilterSpecifier::GrpcStatusFilter(_)) => everything(cx, "grpc_status_filter"),
        Some(FilterSpecifier::ExtensionFilter(_)) => everything(cx, "extension_filter"),
        Some(FilterSpecifier::MetadataFilter(_)) => everything(cx, "metadata_filter"),
        Some(FilterSpecifier::LogTypeFilter(_)) => everything(cx, "log_type_filter"),
    })
}

/// A filter that is not implemented lets everything through: rather too many lines than too few.
fn everything(cx: &mut Context<'_>, name: &str) -> LogFilter {
    cx.ignore(name);
    LogFilter::And(Vec::new())
}

fn compare(cx: &mut Context<'_>, wire: Option<&ComparisonFilter>) -> Result<Comparison> {
    let ComparisonFilter { op, value } = wire.ok_or_else(|| cx.refuse_field("comparison", "is missing"))?;
    let RuntimeUInt32 { default_value, runtime_key } = value.as_ref().ok_or_else(|| cx.refuse_field("comparison.value", "is missing"))?;
    ignored!(cx; runtime_key);
    let value = u64::from(*default_value);
    Ok(match scalar::known(cx, "comparison.op", *op)? {
        Op::Eq => Comparison::Equal(value),
        Op::Ge => Comparison::AtLeast(value),
        Op::Le => Comparison::AtMost(value),
        Op::Ne => Comparison::NotEqual(value),
    })
}
