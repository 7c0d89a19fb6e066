{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{{ config(enabled=dbt_fullstory_imports.is_loaded('user_import_errors')) }}
{%- set columns = dbt_fullstory_imports.raw_columns(source('fullstory_imports', 'user_import_errors')) %}

select
    {{ dbt_fullstory_imports.raw_field(columns, ['job_id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['error_index'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['message'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['code'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user'], 'json') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'uid'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'display_name'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'email'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'properties'], 'json') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['user', 'schema'], 'json') }}
from {{ source('fullstory_imports', 'user_import_errors') }}
