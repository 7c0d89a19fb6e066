{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{{ config(enabled=is_loaded('imported_events')) }}
{%- set columns = raw_columns(source('fullstory_imports', 'imported_events')) %}

select
    {{ field(columns, ['job_id'], 'str', is_key=true) }},
    {{ field(columns, ['event_index'], 'int', is_key=true) }},
    {{ field(columns, ['user', 'id'], 'str') }},
    {{ field(columns, ['user', 'uid'], 'str') }},
    {{ field(columns, ['session', 'id'], 'str') }},
    {{ field(columns, ['session', 'uid'], 'str') }},
    {{ field(columns, ['context', 'browser', 'url'], 'str') }},
    {{ field(columns, ['context', 'browser', 'user_agent'], 'str') }},
    {{ field(columns, ['context', 'browser', 'initial_referrer'], 'str') }},
    {{ field(columns, ['context', 'mobile', 'app_id'], 'str') }},
    {{ field(columns, ['context', 'mobile', 'app_version'], 'str') }},
    {{ field(columns, ['context', 'mobile', 'app_name'], 'str') }},
    {{ field(columns, ['context', 'mobile', 'build_variant'], 'str') }},
    {{ field(columns, ['context', 'device', 'manufacturer'], 'str') }},
    {{ field(columns, ['context', 'device', 'model'], 'str') }},
    {{ field(columns, ['context', 'device', 'screen_width'], 'int') }},
    {{ field(columns, ['context', 'device', 'screen_height'], 'int') }},
    {{ field(columns, ['context', 'device', 'viewport_width'], 'int') }},
    {{ field(columns, ['context', 'device', 'viewport_height'], 'int') }},
    {{ field(columns, ['context', 'location', 'country'], 'str') }},
    {{ field(columns, ['context', 'location', 'region'], 'str') }},
    {{ field(columns, ['context', 'location', 'city'], 'str') }},
    {{ field(columns, ['context', 'location', 'latitude'], 'real') }},
    {{ field(columns, ['context', 'location', 'longitude'], 'real') }},
    {{ field(columns, ['context', 'location', 'ip_address'], 'str') }},
    {{ field(columns, ['name'], 'str') }},
    {{ field(columns, ['timestamp'], 'date') }},
    {{ field(columns, ['properties'], 'json') }},
    {{ field(columns, ['schema'], 'json') }},
    {{ field(columns, ['_sdc_extracted_at'], 'date') }},
    {{ field(columns, ['_sdc_batched_at'], 'date') }}
from {{ source('fullstory_imports', 'imported_events') }}
