{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{{ config(enabled=dbt_fullstory_imports.is_loaded('imported_events')) }}
{%- set columns = dbt_fullstory_imports.raw_columns(source('fullstory_imports', 'imported_events')) %}

select
    {{ dbt_fullstory_imports.raw_field(columns, ['job_id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['event_index'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'uid'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['session', 'id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['session', 'uid'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'browser', 'url'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'browser', 'user_agent'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'browser', 'initial_referrer'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'mobile', 'app_id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'mobile', 'app_version'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'mobile', 'app_name'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'mobile', 'build_variant'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'device', 'manufacturer'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'device', 'model'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'device', 'screen_width'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'device', 'screen_height'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'device', 'viewport_width'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'device', 'viewport_height'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'location', 'country'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'location', 'region'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'location', 'city'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'location', 'latitude'], 'real') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'location', 'longitude'], 'real') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['context', 'location', 'ip_address'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['name'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['timestamp'], 'date') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['properties'], 'json') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['schema'], 'json') }}
from {{ source('fullstory_imports', 'imported_events') }}
