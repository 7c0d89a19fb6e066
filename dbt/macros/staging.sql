{%- macro is_loaded(stream) -%}
    {{ return(stream in var('fullstory_imports_streams')) }}
{%- endmacro -%}

{#- The table of a stream; without rows if the tap does not load the stream. -#}
{%- macro loaded_rows(stream) -%}
    {{ source('fullstory_imports', stream) if is_loaded(stream) else '(select 1 as nothing) as nothing where 1 = 0' }}
{%- endmacro -%}

{#- The columns of this table. A table that is missing or may not be read stops dbt. -#}
{%- macro loaded_columns(stream) -%}
    {%- set names = [] -%}
    {%- if execute and is_loaded(stream) -%}
        {%- for name in run_query('select * from ' ~ source('fullstory_imports', stream) ~ ' where 1 = 0').column_names -%}
            {%- do names.append(name | lower) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(names) }}
{%- endmacro -%}

{#- A field of a loaded row as a typed column; null if the tap leaves its column out. -#}
{%- macro field(columns, path, type, is_key=false) -%}
    {%- set column = quoted(path[0]) -%}
    {%- if path[0] in columns -%}
        {%- if path | length > 1 -%} {{ typed(json_get(column, path[1:]), type) }}
        {%- elif type == 'json' -%} {{ typed(column, type) }}
        {%- elif type == 'str' -%} {{ column }}
        {%- else -%} cast({{ column }} as {{ sql_type(type) }})
        {%- endif -%}
    {%- elif is_key and columns -%}
        {%- do exceptions.raise_compiler_error('The loaded table has no column `' ~ path[0] ~ '`, which is part of its key.') -%}
    {%- else -%} cast(null as {{ sql_type(type) }})
    {%- endif %} as {{ quoted(path | join('_')) }}
{%- endmacro -%}
